// Chosen segments as chips: a name, what is set about it, a cross to take it away.

import { t, plural } from "./i18n.js";
import { h, unique } from "./dom.js";
import { plain } from "./expression.js";

/** The longest "within N days". */
const MAX_DAYS = 365;

/** A list of chips that can only be taken away. */
export function chips(label, items, onRemove) {
    return h("ul", { class: "chips", "aria-label": label }, items.map((operand) => h("li", { class: "chip" }, h("span", { class: "name" }, plain(operand)), cross(operand, () => onRemove(operand)))));
}

/** The chips of a builder's group. `act`: `remove(item)`, `change(item, days)`, `move(item, group)`. */
export function choosers(label, items, group, groups, act) {
    return h("ul", { class: "chips", "aria-label": label }, items.map((item) => chooser(item, group, groups, act)));
}

function cross(operand, remove) {
    const line = "M4 4l8 8M12 4l-8 8";
    const name = t("chip.remove", { name: plain(operand) });
    const button = h("button", { type: "button", class: "cross", "aria-label": name, title: name, on: { click: remove } });
    button.append(icon(line));
    return button;
}

function icon(path) {
    const drawn = document.createElementNS("http://www.w3.org/2000/svg", "svg");
    drawn.setAttribute("viewBox", "0 0 16 16");
    drawn.setAttribute("aria-hidden", "true");
    const line = document.createElementNS("http://www.w3.org/2000/svg", "path");
    line.setAttribute("d", path);
    drawn.append(line);
    return drawn;
}

function chooser(item, group, groups, act) {
    const days = h("input", { type: "number", min: "1", max: String(MAX_DAYS), inputmode: "numeric", id: unique("days"), value: item.days ?? "" });
    days.addEventListener("change", () => {
        const wanted = Math.round(Number(days.value));
        act.change(item, wanted >= 1 ? Math.min(wanted, MAX_DAYS) : undefined);
    });
    const others = groups.filter(({ key }) => key !== group);
    const move = ({ key, title }) => h("button", { type: "button", class: "small", on: { click: () => act.move(item, key) } }, t("chip.move", { group: title }));
    const when = item.days ? h("span", { class: "when" }, plural("chip.days", item.days)) : null;
    // An audience is what its own expression says: only segments were seen at some time.
    const dated = !item.operand.startsWith("@");
    const options = h(
        "div",
        { class: "options" },
        dated && h("div", { class: "inline" }, h("label", { for: days.id }, t("chip.within")), days, h("span", null, t("chip.unit"))),
        dated && h("p", { class: "hint" }, t("chip.within.hint")),
        others.map(move),
    );
    const summary = h("summary", null, h("span", { class: "name" }, plain(item.operand)), when, h("span", { class: "unseen" }, t("chip.options")));
    const details = h("details", null, summary, options);
    details.addEventListener("keydown", (event) => {
        if (event.key !== "Escape" || !details.open) return;
        details.open = false;
        summary.focus();
    });
    details.addEventListener("focusout", (event) => {
        if (event.relatedTarget && !details.contains(event.relatedTarget)) details.open = false;
    });
    return h("li", { class: "chip" }, details, cross(item.operand, () => act.remove(item)));
}
