// Build an audience: click segments into three groups or write the expression, see how many people it is, save it.

import * as api from "./api.js";
import { t, plural } from "./i18n.js";
import { announce, debounce, h, show } from "./dom.js";
import { moment, parts } from "./format.js";
import { plain, read, rename, write } from "./expression.js";
import { address, note } from "./address.js";
import { draft, forget } from "./store.js";
import { field, notice, problem } from "./parts.js";
import { picker } from "./picker.js";
import { choosers } from "./chips.js";
import { saved } from "./view-saved.js";

/** Milliseconds between the last change and the question for its size. */
const REST = 250;

/** What a name is made of, and its longest, in characters. */
const NAME = "[A-Za-z0-9_.:\\-]+";
const MAX_NAME = 128;

/** Draws the builder; `e` is the expression to begin with, `name` what it is saved under. */
export async function draw(place, params, signal) {
    if (params.has("e")) take(params.get("e"));
    if (params.has("name")) draft.name = params.get("name");
    const builder = new Builder(signal);
    const list = h("section", { class: "saved" });
    builder.onSaved = () => saved(list, signal);
    show(place, h("div", { class: "builder" }, builder.left, builder.right), list);
    builder.refresh();
    await saved(list, signal);
}

/** Makes `text` the draft; the groups show it when they can. */
function take(text) {
    draft.text = text;
    draft.model = read(text);
}

class Builder {
    constructor(signal) {
        this.signal = signal;
        this.asked = null;
        this.groups = h("div", { class: "groups" });
        this.text = h("textarea", { rows: "3", spellcheck: "false", autocapitalize: "off", value: draft.text });
        this.text.addEventListener("input", () => {
            take(this.text.value);
            this.refresh({ typed: true });
        });
        this.mistake = h("div", { class: "mistake" });
        this.answer = h("div", { class: "answer" });
        this.remarks = h("div", { class: "remarks" });
        this.outcome = h("div", { class: "outcome" });
        this.left = h("div", { class: "left" }, this.groups, field(t("audience.text"), this.text, t("audience.text.hint")), this.mistake);
        this.right = h("aside", { class: "right", "aria-label": t("audience.size") }, this.answer, this.remarks, this.form());
        this.count = debounce(() => this.ask(), REST);
    }

    /** Shows the draft as it is now, and asks for its size soon. */
    refresh({ typed = false, focus = null } = {}) {
        if (!typed) this.text.value = draft.text;
        this.drawGroups();
        if (focus) this.groups.querySelector(`[data-group=${focus}] input[role=combobox]`)?.focus();
        note("audience", { e: draft.text });
        show(this.mistake);
        show(this.remarks);
        show(this.outcome);
        this.save.disabled = draft.text.trim() === "";
        this.waiting.hidden = !this.save.disabled;
        this.waiting.textContent = t("audience.save.waiting");
        if (draft.text.trim() === "") {
            this.asked?.abort();
            return void show(this.answer, h("p", { class: "label" }, t("audience.size")), h("p", { class: "hint" }, t("audience.start")));
        }
        this.answer.setAttribute("aria-busy", "true");
        if (this.answer.querySelector(".big") === null) show(this.answer, h("p", { class: "label" }, t("audience.size")), h("p", { class: "big" }, "…"));
        this.count();
    }

    /** After a change of the groups. */
    changed(focus) {
        draft.text = write(draft.model);
        this.refresh({ focus });
    }

    drawGroups() {
        // A text that is being written is no expression at times: the groups wait until it is one.
        this.groups.inert = !draft.model;
        if (!draft.model) return;
        const groups = ["all", "any", "none"].map((key) => ({ key, title: t(`audience.${key}`) }));
        show(this.groups, groups.map((group) => this.group(group, groups)));
    }

    /** In place of the groups: the text says more than they can. */
    drawFree() {
        const clear = () => {
            take("");
            this.refresh({ focus: "all" });
        };
        const button = h("button", { type: "button", on: { click: clear } }, t("audience.clear"));
        this.groups.inert = false;
        show(this.groups, notice("plain", t("audience.free"), h("p", null, t("audience.free.text")), button));
    }

    group({ key, title }, groups) {
        const { model } = draft;
        const act = {
            remove: (item) => {
                model[key] = model[key].filter((other) => other !== item);
                this.changed(key);
                announce(t("segments.removed", { name: plain(item.operand) }));
            },
            change: (item, days) => {
                item.days = days;
                this.changed(key);
            },
            move: (item, to) => {
                model[key] = model[key].filter((other) => other !== item);
                model[to].push(item);
                this.changed(to);
            },
        };
        const add = ({ operand }) => {
            model[key].push({ operand });
            this.changed(key);
            announce(t("audience.added", { name: plain(operand), group: title }));
        };
        const taken = (operand) => ["all", "any", "none"].some((other) => model[other].some((item) => item.operand === operand));
        const chosen = model[key].length > 0 && choosers(title, model[key], key, groups, act);
        const search = picker({ label: t("audience.add", { group: title }), onPick: add, taken });
        return h("section", { class: `pile ${key}`, "data-group": key }, h("h2", null, title), h("p", { class: "hint" }, t(`audience.${key}.hint`)), chosen, key === "any" && this.least(), search);
    }

    /** "At least N of" the group, once there are enough to choose from. */
    least() {
        const { any, least } = draft.model;
        if (any.length < 2) return null;
        const option = (n) => h("option", { value: String(n), selected: n === Math.min(least, any.length) }, plural("audience.least", n));
        const select = h("select", { id: "least" }, any.map((_, place) => option(place + 1)));
        select.addEventListener("change", () => {
            draft.model.least = Number(select.value);
            this.changed();
            this.groups.querySelector("#least").focus();
        });
        return h("div", { class: "inline" }, h("label", { for: "least" }, t("audience.least")), select);
    }

    async ask() {
        const text = draft.text;
        this.asked?.abort();
        this.asked = new AbortController();
        const { signal } = this.asked;
        this.signal.addEventListener("abort", () => this.asked.abort(), { signal });
        try {
            const answer = await api.size(text, signal);
            if (text === draft.text && !this.signal.aborted) this.tell(answer);
        } catch (error) {
            if (!signal.aborted && !this.signal.aborted) this.fail(error);
        }
    }

    tell({ visitors, unknown = [], ignored = [], as_of: asOf }) {
        const { words, range, between } = parts(visitors);
        this.answer.removeAttribute("aria-busy");
        show(this.answer, h("p", { class: "label" }, t("audience.size")), h("p", { class: "big" }, words), between && h("p", { class: "between" }, between), h("p", { class: "hint" }, t("as-of", { time: moment(asOf) })));
        if (!draft.model) this.drawFree();
        show(this.mistake);
        show(this.remarks, unknown.map((one) => this.stranger(one)), ignored.length > 0 && ignoring(ignored));
        announce(`${words} ${range}`);
    }

    /** A name that no segment has, and the one that was probably meant. */
    stranger({ name, nearest }) {
        if (!nearest) return notice("warn", t("audience.unknown", { name }), h("p", null, t("audience.unknown.text")));
        const use = () => {
            take(rename(draft.text, name, nearest));
            this.refresh();
            this.text.focus();
        };
        const button = h("button", { type: "button", on: { click: use } }, t("audience.use", { name: nearest }));
        return notice("warn", t("audience.unknown", { name }), h("p", null, t("audience.nearest", { name: nearest })), button);
    }

    fail(error) {
        this.answer.removeAttribute("aria-busy");
        show(this.answer, h("p", { class: "label" }, t("audience.size")), h("p", { class: "hint" }, t("audience.no-size")));
        show(this.remarks);
        this.save.disabled = Boolean(error.column);
        this.waiting.hidden = !error.column;
        this.waiting.textContent = t("audience.save.broken");
        show(this.mistake, problem(error, error.column ? null : () => this.ask()), error.column && this.pointer(error.column));
        announce(`${error.heading} ${error.message}`);
    }

    /** The expression with a mark where the mistake is, and a way to get there. */
    pointer(column) {
        const letters = [...draft.text];
        const [before, at, after] = [letters.slice(0, column - 1), letters[column - 1] ?? " ", letters.slice(column)].map((part) => [part].flat().join(""));
        const jump = () => {
            this.text.focus();
            this.text.setSelectionRange(before.length, before.length + at.length);
        };
        const shown = h("p", { class: "pointer", "aria-hidden": "true" }, before, h("mark", null, at), after);
        return h("div", null, shown, h("button", { type: "button", on: { click: jump } }, t("audience.jump")));
    }

    form() {
        const name = h("input", { type: "text", value: draft.name, pattern: NAME, maxlength: String(MAX_NAME), required: true, autocomplete: "off", spellcheck: "false" });
        name.addEventListener("input", () => {
            draft.name = name.value;
            name.setCustomValidity("");
        });
        this.save = h("button", { type: "submit", class: "strong" }, t("audience.save"));
        this.waiting = h("p", { class: "hint" });
        const submit = async (event) => {
            event.preventDefault();
            if (await this.keep(name.value)) this.onSaved();
        };
        const seed = h("a", { class: "button", href: "#lookalike", on: { click: (event) => toLookalike(event) } }, t("audience.resemble"));
        return h("form", { class: "save", on: { submit } }, field(t("audience.name"), name, t("audience.name.hint")), h("div", { class: "deeds" }, this.save, seed), this.waiting, this.outcome);
    }

    async keep(name) {
        this.save.disabled = true;
        try {
            const { status } = await api.saveAudience(name, draft.text);
            forget("audiences");
            show(this.outcome, notice("good", t(status === 201 ? "audience.saved" : "audience.replaced", { name })));
            announce(t("audience.saved", { name }));
            return true;
        } catch (error) {
            show(this.outcome, problem(error));
            announce(`${error.heading} ${error.message}`);
            return false;
        } finally {
            this.save.disabled = draft.text.trim() === "";
        }
    }
}

function toLookalike(event) {
    event.currentTarget.href = address("lookalike", { e: draft.text });
}

function ignoring(ignored) {
    const list = h("ul", null, ignored.map((operand) => h("li", null, operand)));
    return notice("plain", t("audience.ignored"), h("p", null, t("audience.ignored.text")), list);
}
