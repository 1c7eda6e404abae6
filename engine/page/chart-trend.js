// How an audience grew and shrank: a line of days, and the range of each size as a band.

import { t } from "./i18n.js";
import { h, svg } from "./dom.js";
import { brief, day, middle, number, people, shortDay } from "./format.js";
import { behind } from "./parts.js";
import { across, band, below, linear, path, steps } from "./scale.js";

const WIDTH = 480;
const HEIGHT = 170;
const EDGE = { left: 58, right: 14, top: 12, bottom: 30 };

/** Points are `{ day, visitors }`, the earliest first. */
export function trend(points, name) {
    const times = points.map((point) => Date.parse(point.day));
    const high = (size) => size.high ?? middle(size);
    const low = (size) => size.low ?? middle(size);
    const values = steps(Math.max(1, ...points.map((point) => high(point.visitors))), 3);
    const [first, last] = [times[0], times.at(-1)];
    const x = linear(first, last, EDGE.left, WIDTH - EDGE.right);
    const y = linear(0, values.at(-1), HEIGHT - EDGE.bottom, EDGE.top);
    const at = (size) => points.map((point, place) => [first === last ? (EDGE.left + WIDTH) / 2 : x(times[place]), y(size(point.visitors))]);
    const ends = first === last ? [] : [first, last];
    const label = t("trend.label", { name, from: people(points[0].visitors), to: people(points.at(-1).visitors), first: day(points[0].day), last: day(points.at(-1).day) });
    const chart = svg(
        "svg",
        { class: "chart trend", viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": label },
        across(values, y, EDGE.left, WIDTH - EDGE.right, number),
        below(ends, x, HEIGHT - EDGE.bottom, shortDay, (place) => (place === 0 ? "start" : "end")),
        svg("path", { class: "band", d: band(at(high), at(low)) }),
        svg("path", { class: "curve", d: path(at(middle)) }),
        at(middle).map(([cx, cy], place) => svg("circle", { class: "dot", cx, cy, r: 3 }, svg("title", null, `${day(points[place].day)}: ${brief(points[place].visitors)}`))),
    );
    const columns = [
        { head: t("trend.day"), cell: (point) => day(point.day) },
        { head: t("people"), cell: (point) => people(point.visitors), number: true },
    ];
    return h("figure", null, chart, behind(t("as-table"), t("trend.caption", { name }), columns, points));
}
