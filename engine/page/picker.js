// A field in which segments are found by typing a part of their names, as the combobox pattern of WAI-ARIA has it.

import { t, plural } from "./i18n.js";
import { h, show, unique } from "./dom.js";
import { brief } from "./format.js";
import { operands } from "./store.js";

/** Lines of the list; more are found by typing more. */
const MAX_LINES = 40;

/**
 * `label` names the field, `onPick` gets what was chosen. `taken` tells which operands are no longer offered; `offer`
 * says what to offer beside segments (see `operands`).
 */
export function picker({ label, hint, onPick, taken = () => false, offer = {} }) {
    return new Picker(label, hint, onPick, taken, offer).element;
}

class Picker {
    constructor(label, hint, onPick, taken, offer) {
        Object.assign(this, { onPick, taken, offer, lines: [], chosen: -1, all: null });
        const id = unique("picker");
        this.list = h("ul", { role: "listbox", id: `${id}-list`, "aria-label": label, hidden: true });
        const on = {
            click: () => this.open(),
            input: () => this.open(),
            blur: () => this.close(),
            keydown: (event) => this.key(event),
        };
        const combobox = { role: "combobox", "aria-expanded": "false", "aria-controls": this.list.id, "aria-autocomplete": "list" };
        this.input = h("input", { id, type: "text", autocomplete: "off", spellcheck: "false", placeholder: hint ?? t("picker.hint"), ...combobox, on });
        this.element = h("div", { class: "picker" }, h("label", { for: id }, label), this.input, this.list);
    }

    async open() {
        try {
            this.all ??= await operands(this.offer);
        } catch {
            show(this.list, h("li", { class: "none" }, t("picker.failed")));
            return this.reveal(true);
        }
        if (document.activeElement !== this.input) return;
        const words = this.input.value.toLowerCase().split(/\s+/).filter(Boolean);
        const fits = ({ operand, label }) => words.every((word) => label.toLowerCase().includes(word)) && !this.taken(operand);
        const found = this.all.filter(fits);
        this.lines = found.slice(0, MAX_LINES);
        this.chosen = words.length > 0 && this.lines.length > 0 ? 0 : -1;
        this.draw(found.length);
        this.reveal(true);
    }

    draw(found) {
        const line = (option, place) => {
            const detail = option.many ? plural("picker.many", option.many) : brief(option.size);
            const press = (event) => {
                // Before the field loses the focus, so that the list is still there when the finger lifts.
                event.preventDefault();
                this.pick(place);
            };
            const props = { role: "option", id: `${this.list.id}-${place}`, "aria-selected": String(place === this.chosen), on: { mousedown: press } };
            return h("li", props, h("span", { class: "name" }, option.label), h("span", { class: "detail" }, detail));
        };
        const more = found - this.lines.length;
        const rest = found === 0 ? t("picker.none") : more > 0 ? plural("picker.more", more) : null;
        show(this.list, this.lines.map(line), rest && h("li", { class: "none", role: "option", "aria-disabled": "true", "aria-selected": "false" }, rest));
        this.mark();
    }

    mark() {
        const options = [...this.list.querySelectorAll("[id]")];
        options.forEach((option, place) => option.setAttribute("aria-selected", String(place === this.chosen)));
        const option = options[this.chosen];
        if (option) {
            this.input.setAttribute("aria-activedescendant", option.id);
            option.scrollIntoView({ block: "nearest" });
        } else {
            this.input.removeAttribute("aria-activedescendant");
        }
    }

    key(event) {
        const moves = { ArrowDown: 1, ArrowUp: -1 };
        if (event.key in moves) {
            event.preventDefault();
            if (this.list.hidden) return void this.open();
            const many = this.lines.length;
            if (many > 0) this.chosen = (this.chosen + moves[event.key] + (this.chosen < 0 && moves[event.key] < 0 ? 1 : 0) + many) % many;
            this.mark();
        } else if (event.key === "Enter" && !this.list.hidden && this.chosen >= 0) {
            event.preventDefault();
            this.pick(this.chosen);
        } else if (event.key === "Escape" && !this.list.hidden) {
            event.preventDefault();
            this.close();
        }
    }

    pick(place) {
        const option = this.lines[place];
        this.input.value = "";
        this.close();
        this.onPick(option);
    }

    close() {
        this.reveal(false);
        this.input.removeAttribute("aria-activedescendant");
    }

    reveal(open) {
        this.list.hidden = !open;
        this.input.setAttribute("aria-expanded", String(open));
    }
}
