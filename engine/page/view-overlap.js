// Overlap: how many people segments share.

import * as api from "./api.js";
import { t, plural } from "./i18n.js";
import { announce, breakable, h, show } from "./dom.js";
import { middle, moment, number, people, percent } from "./format.js";
import { plain, quote } from "./expression.js";
import { note } from "./address.js";
import { draft, grouped, segments } from "./store.js";
import { loading, notice, nothing, problem, size, table } from "./parts.js";
import { picker } from "./picker.js";
import { chips } from "./chips.js";
import { heat } from "./chart-heat.js";

/** How many sets one matrix compares. */
const FEWEST = 2;
const MOST = 20;

/** How many segments the examples take. */
const EXAMPLE = 5;

/** Draws the matrix; every `s` is one segment or `@audience`. */
export async function draw(place, params, signal) {
    const chosen = [...new Set(params.getAll("s"))].slice(0, MOST);
    const board = new Board(chosen, signal);
    show(place, board.tools, board.result);
    await board.refresh();
}

class Board {
    constructor(chosen, signal) {
        Object.assign(this, { chosen, signal, asked: null });
        this.tools = h("div", { class: "choose" });
        this.result = h("div", { class: "result" });
    }

    /** Shows what is chosen and, once there are two, the matrix. */
    async refresh({ focus = false } = {}) {
        note("overlap", { s: this.chosen });
        this.drawTools(focus);
        this.asked?.abort();
        if (this.chosen.length < FEWEST) return void show(this.result, await this.invitation());
        show(this.result, loading());
        this.asked = new AbortController();
        const { signal } = this.asked;
        this.signal.addEventListener("abort", () => this.asked.abort(), { signal });
        try {
            const answer = await api.overlap(this.chosen, signal);
            if (!signal.aborted && !this.signal.aborted) this.tell(answer);
        } catch (error) {
            if (signal.aborted || this.signal.aborted) return;
            show(this.result, problem(error, () => this.refresh()));
            announce(`${error.heading} ${error.message}`);
        }
    }

    drawTools(focus) {
        const remove = (operand) => {
            this.chosen = this.chosen.filter((other) => other !== operand);
            this.refresh({ focus: true });
            announce(t("segments.removed", { name: plain(operand) }));
        };
        const add = ({ operand }) => {
            this.chosen.push(operand);
            this.refresh({ focus: true });
            announce(t("overlap.added", { name: plain(operand) }));
        };
        const full = this.chosen.length >= MOST;
        const search = picker({ label: t("overlap.add"), onPick: add, taken: (operand) => this.chosen.includes(operand), offer: { prefixes: false } });
        const clear = () => {
            this.chosen = [];
            this.refresh({ focus: true });
        };
        show(
            this.tools,
            full ? h("p", { class: "hint" }, plural("overlap.full", MOST)) : search,
            this.chosen.length > 0 && chips(t("overlap.chosen"), this.chosen, remove),
            this.chosen.length > 1 && h("button", { type: "button", class: "small", on: { click: clear } }, t("overlap.clear")),
        );
        if (focus) this.tools.querySelector("input, button")?.focus();
    }

    /** What to do while fewer than two are chosen. */
    async invitation() {
        const all = await segments().catch(() => []);
        const start = (list) => () => {
            this.chosen = list;
            this.refresh({ focus: true });
        };
        const button = (text, list) => h("button", { type: "button", on: { click: start(list) } }, text);
        const mine = draft.model ? [...draft.model.all, ...draft.model.any, ...draft.model.none].map((item) => item.operand) : [];
        const own = [...new Set(mine)].filter((operand) => !operand.endsWith("*")).slice(0, MOST);
        const largest = grouped(all, "size").filter(([key, members]) => key && members.length >= FEWEST);
        const examples = largest.map(([key, members]) => button(t("overlap.example", { group: key }), members.slice(0, EXAMPLE).map((one) => quote(one.name))));
        const head = this.chosen.length === 0 ? t("overlap.empty") : t("overlap.one");
        return nothing(head, plural("overlap.empty.text", MOST), own.length >= FEWEST && button(t("overlap.mine"), own), examples);
    }

    tell({ segments: names, matrix, withheld, unknown = [], as_of: asOf }) {
        const strangers = unknown.map(({ name, nearest }) => notice("warn", t("audience.unknown", { name }), nearest && h("p", null, t("audience.nearest", { name: nearest }))));
        const budget = withheld && notice("warn", t("overlap.withheld"), h("p", null, t("overlap.withheld.text")));
        const shown = names.map(plain);
        const pairs = pairsOf(shown, matrix);
        const columns = [
            { head: t("overlap.pair"), cell: ({ names: [one, other] }) => [called(one), h("span", { class: "unseen" }, ` ${t("and")} `), called(other)] },
            { head: t("overlap.shared"), cell: ({ cell }) => (cell ? size(cell.visitors) : t("overlap.null")), number: true },
            { head: t("overlap.of"), cell: sharesOf },
        ];
        const sets = names.map((name, place) => h("li", null, h("span", { class: "name" }, plain(name)), " ", h("span", { class: "hint" }, people(matrix[place][place]?.visitors))));
        show(
            this.result,
            strangers,
            budget,
            summary(pairs),
            h("div", { class: "beside" }, h("figure", null, heat(shown, matrix), h("ol", { class: "key" }, sets), h("figcaption", { class: "hint" }, t("heat.caption"))), table(t("overlap.caption"), columns, pairs)),
            h("p", { class: "hint" }, t("as-of", { time: moment(asOf) })),
        );
        announce(plural("overlap.ready", pairs.length, { names: number(names.length) }));
    }
}

/** Every pair once, the one that shares most first. */
function pairsOf(names, matrix) {
    const pairs = [];
    for (let row = 0; row < names.length; row += 1) {
        for (let column = row + 1; column < names.length; column += 1) {
            const cell = matrix[row][column];
            pairs.push({ names: [names[row], names[column]], cell, shares: [cell?.share, matrix[column][row]?.share] });
        }
    }
    const weight = ({ cell, shares }) => Math.max(shares[0] ?? 0, shares[1] ?? 0) + middle(cell?.visitors) / 1e12;
    return pairs.sort((a, b) => weight(b) - weight(a));
}

function sharesOf({ names, shares }) {
    const lines = names.map((name, place) => shares[place] !== undefined && shares[place] !== null && h("li", null, t("overlap.share", { share: percent(shares[place]) }), " ", called(name)));
    return lines.some(Boolean) ? h("ul", { class: "plain" }, lines) : "–";
}

function called(name) {
    return h("span", { class: "name" }, breakable(name));
}

/** The strongest pair in one sentence. */
function summary(pairs) {
    const [first] = pairs;
    const place = (first.shares[0] ?? 0) >= (first.shares[1] ?? 0) ? 0 : 1;
    if (!first.shares[place]) return null;
    const values = { share: percent(first.shares[place]), one: first.names[place], other: first.names[1 - place] };
    return h("p", { class: "finding" }, t("overlap.most", values));
}
