// Parts that every view uses: what is loading, what failed, what is empty; fields, tables, a question before a deed.

import { current, t } from "./i18n.js";
import { h, unique } from "./dom.js";
import { parts } from "./format.js";

/** What stands there until an answer comes. */
export function loading(text = t("loading")) {
    return h("p", { class: "loading" }, h("span", { class: "pulse", "aria-hidden": "true" }), text);
}

/** What went wrong, in words, and a way to try again. The server's own words are English. */
export function problem(error, again) {
    const heading = error.heading ?? t("problem.other");
    const foreign = error.status && current() !== "en" ? { lang: "en" } : null;
    const column = foreign && error.column ? h("p", null, t("problem.column", { n: error.column })) : null;
    const button = again && h("button", { type: "button", on: { click: again } }, t("again"));
    return h("div", { class: "notice bad" }, h("p", { class: "head" }, heading), h("p", foreign, error.message), column, button);
}

/** A remark; `kind` is `plain`, `warn`, `good` or `bad`. */
export function notice(kind, head, ...rest) {
    return h("div", { class: `notice ${kind}` }, h("p", { class: "head" }, head), rest);
}

/** What to do where nothing is yet. */
export function nothing(head, text, ...deeds) {
    return h("div", { class: "nothing" }, h("p", { class: "head" }, head), h("p", null, text), deeds.length > 0 && h("div", { class: "deeds" }, deeds));
}

/** A labelled control; `hint` is read with it. */
export function field(label, control, hint) {
    control.id ||= unique("field");
    const described = hint && h("p", { class: "hint", id: `${control.id}-hint` }, hint);
    if (described) control.setAttribute("aria-describedby", described.id);
    return h("div", { class: "field" }, h("label", { for: control.id }, label), described, control);
}

/** Radio buttons under a heading. `choices`: value, label, hint. */
export function radios(name, legend, choices, chosen, onChange) {
    const one = ({ value, label, hint }) => {
        const id = unique(name);
        const input = h("input", { type: "radio", name, id, value, checked: value === chosen, on: { change: () => onChange(value) } });
        if (hint) input.setAttribute("aria-describedby", `${id}-hint`);
        return h("div", { class: "choice" }, input, h("label", { for: id }, label), hint && h("p", { class: "hint", id: `${id}-hint` }, hint));
    };
    return h("fieldset", { class: "radios" }, h("legend", null, legend), choices.map(one));
}

/** A table; a column is `{ head, cell, number }`. Its frame scrolls by itself where it is too wide. */
export function table(caption, columns, rows) {
    const head = h("tr", null, columns.map((column) => h("th", { scope: "col", class: column.number && "number" }, column.head)));
    const line = (row) => h("tr", null, columns.map((column, place) => cell(column, row, place)));
    const id = unique("caption");
    return h(
        "div",
        { class: "frame", role: "region", "aria-labelledby": id, tabindex: "0" },
        h("table", null, h("caption", { id }, caption), h("thead", null, head), h("tbody", null, rows.map(line))),
    );
}

function cell(column, row, place) {
    const content = column.cell(row);
    return place === 0 ? h("th", { scope: "row" }, content) : h("td", { class: column.number && "number" }, content);
}

/** A table that a chart shows, folded away beside it. */
export function behind(summary, caption, columns, rows) {
    return h("details", { class: "behind" }, h("summary", null, summary), table(caption, columns, rows));
}

/** A size: the words, and the range in smaller letters. */
export function size(disclosed) {
    const { words, range } = parts(disclosed);
    return h("span", { class: "size" }, words, range && [" ", h("span", { class: "range" }, `(${range})`)]);
}

/** Asks before something that cannot be taken back; resolves to whether it is wanted. */
export function confirm(question, consequence, deed) {
    return new Promise((resolve) => {
        const id = unique("dialog");
        const answer = (wanted) => () => {
            dialog.returnValue = wanted ? "yes" : "";
            dialog.close();
        };
        const keep = h("button", { type: "button", autofocus: true, on: { click: answer(false) } }, t("keep"));
        const act = h("button", { type: "button", class: "danger", on: { click: answer(true) } }, deed);
        const text = [h("h2", { id }, question), h("p", { id: `${id}-text` }, consequence)];
        const props = { "aria-labelledby": id, "aria-describedby": `${id}-text` };
        const dialog = h("dialog", props, text, h("div", { class: "deeds" }, keep, act));
        dialog.addEventListener("close", () => {
            dialog.remove();
            resolve(dialog.returnValue === "yes");
        });
        document.body.append(dialog);
        dialog.showModal();
    });
}
