// Segments: what there is to plan with.

import * as api from "./api.js";
import { t, plural, has } from "./i18n.js";
import { announce, debounce, h, show } from "./dom.js";
import { life, middle, people } from "./format.js";
import { write, plain, quote, count, empty } from "./expression.js";
import { address, note } from "./address.js";
import { draft, drafted, grouped, segments } from "./store.js";
import { field, loading, nothing, size } from "./parts.js";

/** Lines of a group before "show more". */
const FIRST_LINES = 50;

/** Milliseconds between the last key and what it changes. */
const REST = 200;

/** Draws the list; `q` is what to search for, `by` the order. */
export async function draw(place, params, signal) {
    show(place, loading());
    const all = await segments();
    if (signal.aborted) return;
    if (all.length === 0) return void show(place, nothing(t("segments.empty"), t("segments.empty.text")));
    const shown = { q: params.get("q") ?? "", by: params.get("by") === "size" ? "size" : "name", open: new Set() };
    const search = h("input", { type: "search", value: shown.q, autocomplete: "off", spellcheck: "false", placeholder: t("segments.search.hint") });
    const order = h("select", null, ["name", "size"].map((by) => h("option", { value: by, selected: by === shown.by }, t(`segments.by.${by}`))));
    const found = h("p", { class: "found" });
    const list = h("div");
    const tray = h("div", { class: "tray" });
    const again = () => {
        fill(list, found, all, shown, () => again());
        note("segments", { q: shown.q, by: shown.by === "size" ? "size" : "" });
        trayOf(tray, signal);
    };
    const typed = debounce(() => {
        shown.q = search.value.trim();
        again();
        announce(found.textContent);
    }, REST);
    search.addEventListener("input", typed);
    order.addEventListener("change", () => {
        shown.by = order.value;
        again();
    });
    const tools = h("div", { class: "tools", role: "search" }, field(t("segments.search"), search), field(t("segments.order"), order));
    show(place, tools, found, list, tray);
    again();
}

function fill(list, found, all, shown, again) {
    const words = shown.q.toLowerCase().split(/\s+/).filter(Boolean);
    const hits = all.filter(({ name, source }) => words.every((word) => `${name} ${source}`.toLowerCase().includes(word)));
    const groups = grouped(hits, shown.by);
    found.textContent = t("segments.found", { segments: plural("segments.count", hits.length), groups: plural("segments.groups", groups.length) });
    const largest = Math.max(1, ...all.map(({ visitors }) => middle(visitors)));
    if (hits.length === 0) return void show(list, nothing(t("segments.none"), t("segments.none.text")));
    show(list, groups.map(([key, members]) => section(key, members, largest, shown, again)));
}

function section(key, members, largest, shown, again) {
    const whole = key && members.length > 1 ? `${quote(`${key}.`)}*` : null;
    const open = shown.open.has(key) ? members : members.slice(0, FIRST_LINES);
    const more = members.length - open.length;
    const unfold = () => {
        shown.open.add(key);
        again();
    };
    return h(
        "section",
        { class: "group" },
        h("div", { class: "group-head" }, h("h2", null, key || t("segments.ungrouped")), h("span", { class: "many" }, plural("segments.count", members.length)), whole && toggle(whole, "whole", again)),
        h("ul", { class: "lines" }, open.map((segment) => line(segment, largest, again))),
        more > 0 && h("button", { type: "button", on: { click: unfold } }, plural("segments.more", more)),
    );
}

function line({ name, source, class: kind, ttl, visitors }, largest, again) {
    const facts = [
        t("segments.source", { name: source }),
        kind && (has(`class.${kind}`) ? t(`class.${kind}`) : kind),
        ttl && t("segments.life", { span: life(ttl) }),
    ];
    const bar = h("span", { class: "bar", "aria-hidden": "true", style: { "--share": String(middle(visitors) / largest) } });
    return h(
        "li",
        null,
        h("div", { class: "what" }, h("span", { class: "name" }, name), h("span", { class: "facts" }, facts.filter(Boolean).join(" · "))),
        h("div", { class: "how-many" }, size(visitors), bar),
        toggle(quote(name), "add", again),
    );
}

/** A button that puts an operand into the draft, or takes it out again. `deed` names its words. */
function toggle(operand, deed, again) {
    const name = plain(operand);
    const inside = drafted(operand);
    const press = () => {
        draft.model ??= empty();
        const groups = ["all", "any", "none"];
        if (inside) for (const key of groups) draft.model[key] = draft.model[key].filter((item) => plain(item.operand) !== plain(operand));
        else draft.model.all.push({ operand });
        draft.text = write(draft.model);
        again();
        announce(t(inside ? "segments.removed" : "segments.added", { name }));
        document.querySelector(`button[data-operand="${CSS.escape(operand)}"]`)?.focus();
    };
    const words = inside ? "segments.remove" : `segments.${deed}`;
    const label = t(`${words}.label`, { name });
    const props = { type: "button", class: inside ? "small inside" : "small", "data-operand": operand, "aria-label": label, on: { click: press } };
    return h("button", props, t(words));
}

/** The draft in a line at the foot of the list, with its size. */
function trayOf(tray, signal) {
    const many = draft.model ? count(draft.model) : 0;
    tray.hidden = draft.text === "";
    if (tray.hidden) return void show(tray);
    const words = h("span", { class: "sum" }, t("segments.tray.counting"));
    const head = many > 0 ? plural("segments.tray", many) : t("segments.tray.text");
    show(tray, h("p", null, h("strong", null, head), " ", words), h("a", { class: "button strong", href: address("audience", { e: draft.text }) }, t("segments.tray.go")));
    const asked = draft.text;
    const told = (text) => {
        if (!signal.aborted && asked === draft.text) words.textContent = text;
    };
    api.size(asked, signal).then((answer) => told(people(answer.visitors)), (error) => told(error.message));
}
