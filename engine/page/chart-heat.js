// A heat map: rows and columns are the same sets; the darker a field, the more of the row's people are in the column too.

import { t } from "./i18n.js";
import { svg } from "./dom.js";
import { people, percent } from "./format.js";

const SIDE = 400;
const MARGIN = 30;
const GAP = 2;

/** From these shares on the figure changes its colour, in the dark scheme and in the light one; see charts.css. */
const MIDDLING = 0.57;
const DEEP = 0.72;

/** `matrix[row][column]` is `{ visitors, share }`, or null where the answer was withheld. Sets are numbered from 1. */
export function heat(names, matrix) {
    const field = (SIDE - MARGIN) / names.length;
    const number = (place) => MARGIN + place * field + field / 2;
    const head = (_, place) => [
        svg("text", { class: "tick middle", x: number(place), y: MARGIN - 10 }, String(place + 1)),
        svg("text", { class: "tick middle", x: MARGIN - 16, y: number(place) + 4 }, String(place + 1)),
    ];
    const row = (cells, y) => cells.map((cell, x) => one(names, cell, x, y, field));
    return svg(
        "svg",
        { class: "chart heat", viewBox: `0 0 ${SIDE} ${SIDE}`, role: "img", "aria-label": t("heat.label", { names: names.join(", ") }) },
        svg("pattern", { id: "withheld", width: 6, height: 6, patternUnits: "userSpaceOnUse", patternTransform: "rotate(45)" }, svg("line", { class: "hatch", x1: 0, x2: 0, y1: 0, y2: 6 })),
        names.map(head),
        matrix.map(row),
    );
}

function one(names, cell, x, y, field) {
    const [left, top, side] = [MARGIN + x * field, MARGIN + y * field, field - GAP];
    const share = cell?.share ?? 0;
    const self = x === y;
    const kind = cell === null ? "held" : self ? "self" : "";
    const box = svg("rect", { class: `field ${kind}`, x: left, y: top, width: side, height: side, rx: Math.min(6, side / 6), style: { "--share": String(share) } });
    const told = cell === null ? t("overlap.null") : cell.share === undefined || cell.share === null ? people(cell.visitors) : t("heat.cell", { share: percent(share), people: people(cell.visitors) });
    const title = svg("title", null, self ? `${names[y]}: ${people(cell?.visitors)}` : `${names[y]} → ${names[x]}: ${told}`);
    const figure = self || cell === null ? "" : cell.share === undefined || cell.share === null ? "<" : percent(share);
    const text = side > 34 && svg("text", { class: `figure middle ${share > DEEP ? "deep" : share > MIDDLING ? "middling" : ""}`, x: left + side / 2, y: top + side / 2 + 4 }, figure);
    return svg("g", null, title, box, text);
}
