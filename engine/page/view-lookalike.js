// Lookalike: name some people, find those most like them. This file has the order; view-card.js what comes of it.

import * as api from "./api.js";
import { t } from "./i18n.js";
import { announce, h, show } from "./dom.js";
import { compare, day, number } from "./format.js";
import { plain } from "./expression.js";
import { address, note } from "./address.js";
import { charter, draft, idTypes } from "./store.js";
import { field, loading, nothing, problem, radios } from "./parts.js";
import { picker } from "./picker.js";
import { chips } from "./chips.js";
import { card } from "./view-card.js";

const NAME = "[A-Za-z0-9_.:\\-]+";
const MAX_NAME = 128;

/** What was filled in, kept while the planner looks elsewhere. Ids are kept in memory alone. */
const order = { name: "", from: "expression", expression: "", ids: "", type: "cookie", exclude: [], method: "pairs" };

/** Draws the order, or the one called `name`; `e` is the seed's expression, `reach` how far the slider stands. */
export async function draw(place, params, signal) {
    const name = params.get("name");
    if (name) {
        show(place, back(), loading());
        const [found, rules] = await Promise.all([api.lookalike(name), charter()]);
        if (!signal.aborted) show(place, back(), card(found, rules.lookalike.min_audience, Number(params.get("reach")) || null, signal));
        return;
    }
    if (params.has("e")) Object.assign(order, { expression: params.get("e"), from: "expression" });
    else if (order.expression === "") order.expression = draft.text;
    show(place, loading());
    const [rules, types] = await Promise.all([charter(), idTypes()]);
    if (signal.aborted) return;
    const made = h("section", { class: "made" });
    show(place, h("div", { class: "asking" }, form(place, rules, types, signal), made));
    await earlier(made, signal);
}

function back() {
    return h("p", { class: "back" }, h("a", { href: "#lookalike" }, t("lookalike.back")));
}

function form(place, rules, types, signal) {
    const bound = (key, input) => {
        input.addEventListener("input", () => {
            order[key] = input.value;
        });
        return input;
    };
    const name = bound("name", h("input", { type: "text", value: order.name, pattern: NAME, maxlength: String(MAX_NAME), required: true, autocomplete: "off", spellcheck: "false" }));
    const seed = h("div", { class: "seed" });
    const drawSeed = () => show(seed, order.from === "expression" ? bySegments(bound) : byIds(bound, types));
    const from = radios("from", t("lookalike.seed"), choices("lookalike.from", ["expression", "visitors"]), order.from, (value) => {
        order.from = value;
        drawSeed();
    });
    drawSeed();
    const method = radios("method", t("lookalike.method"), choices("lookalike.method", ["pairs", "iv"]), order.method, (value) => {
        order.method = value;
    });
    const outcome = h("div");
    const button = h("button", { type: "submit", class: "strong" }, t("lookalike.find"));
    const submit = async (event) => {
        event.preventDefault();
        button.disabled = true;
        show(outcome, loading(t("lookalike.finding")));
        announce(t("lookalike.finding"));
        try {
            const found = await api.makeLookalike(body());
            if (signal.aborted) return;
            note("lookalike", { name: found.name });
            show(place, back(), card(found, rules.lookalike.min_audience, null, signal));
            announce(t("lookalike.found", { name: found.name }));
            place.querySelector("h2").focus();
        } catch (error) {
            show(outcome, problem(error));
            announce(`${error.heading} ${error.message}`);
        } finally {
            button.disabled = false;
        }
    };
    const bounds = t("lookalike.bounds", { seed: number(rules.lookalike.min_seed), audience: number(rules.lookalike.min_audience) });
    return h(
        "form",
        { class: "order", on: { submit } },
        h("section", { class: "step" }, h("h2", null, t("lookalike.step.seed")), from, seed, h("p", { class: "hint" }, bounds)),
        h("section", { class: "step" }, h("h2", null, t("lookalike.step.exclude")), h("p", { class: "hint" }, t("lookalike.exclude.text")), exclusions()),
        h("section", { class: "step" }, h("h2", null, t("lookalike.step.method")), method),
        h("section", { class: "step" }, h("h2", null, t("lookalike.step.name")), field(t("lookalike.name"), name, t("audience.name.hint")), h("div", { class: "deeds" }, button), outcome),
    );
}

function choices(key, values) {
    return values.map((value) => ({ value, label: t(`${key}.${value}`), hint: t(`${key}.${value}.hint`) }));
}

function bySegments(bound) {
    const text = bound("expression", h("textarea", { rows: "2", required: true, spellcheck: "false", autocapitalize: "off", value: order.expression }));
    const add = ({ operand }) => {
        text.value = text.value.trim() === "" ? operand : `${text.value.trim()} and ${operand}`;
        order.expression = text.value;
        text.focus();
        announce(t("overlap.added", { name: plain(operand) }));
    };
    return [picker({ label: t("lookalike.expression.add"), onPick: add }), field(t("lookalike.expression"), text, t("lookalike.expression.hint"))];
}

function byIds(bound, types) {
    const text = bound("ids", h("textarea", { rows: "6", required: true, spellcheck: "false", autocapitalize: "off", autocomplete: "off", value: order.ids }));
    const type = bound("type", h("input", { type: "text", value: order.type, required: true, autocomplete: "off", list: "types" }));
    const known = h("datalist", { id: "types" }, types.map((one) => h("option", { value: one })));
    return [field(t("lookalike.ids"), text, t("lookalike.ids.hint")), field(t("visitor.type"), type, t("visitor.type.hint")), known];
}

function exclusions() {
    const box = h("div");
    const fill = (focus) => {
        const remove = (operand) => {
            order.exclude = order.exclude.filter((other) => other !== operand);
            fill(true);
        };
        const add = ({ operand }) => {
            order.exclude.push(operand);
            fill(true);
            announce(t("overlap.added", { name: plain(operand) }));
        };
        const search = picker({ label: t("lookalike.exclude"), onPick: add, taken: (operand) => order.exclude.includes(operand), offer: { saved: false } });
        show(box, search, order.exclude.length > 0 && chips(t("lookalike.step.exclude"), order.exclude, remove));
        if (focus) box.querySelector("input").focus();
    };
    fill(false);
    return box;
}

/** What is sent. */
function body() {
    const ids = order.ids.split(/\r?\n/).map((line) => line.trim()).filter(Boolean);
    const visitors = order.type === "cookie" ? ids : ids.map((id) => ({ id, id_type: order.type }));
    const seed = order.from === "expression" ? { expression: order.expression } : { visitors };
    const exclude = order.exclude.map(plain);
    return { name: order.name, seed, method: order.method, ...(exclude.length > 0 ? { exclude } : {}) };
}

/** The ones made earlier. */
async function earlier(section, signal) {
    const heading = h("h2", null, t("lookalike.earlier"));
    show(section, heading, loading());
    try {
        const { lookalikes } = await api.lookalikes();
        if (signal.aborted) return;
        const line = ({ name, created, method }) => {
            const facts = [t(`lookalike.method.${method}`), day(created)].join(" · ");
            return h("li", null, h("div", { class: "what" }, h("span", { class: "name" }, name), h("span", { class: "facts" }, facts)), h("a", { class: "button small", href: address("lookalike", { name }), "aria-label": t("lookalike.open.label", { name }) }, t("lookalike.open")));
        };
        const sorted = [...lookalikes].sort((a, b) => compare(a.name, b.name));
        show(section, heading, sorted.length > 0 ? h("ul", { class: "lines" }, sorted.map(line)) : nothing(t("lookalike.empty"), t("lookalike.empty.text")));
    } catch (error) {
        if (!signal.aborted) show(section, heading, problem(error, () => earlier(section, signal)));
    }
}
