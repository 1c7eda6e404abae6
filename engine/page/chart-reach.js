// The reach curve: how much of the seed's like one finds in the best 1 %, 5 %, 20 % of everybody. The band is the 95 %
// interval; the dashed line is what choosing at random would find. The mark is moved by dragging, or by the slider.

import { t } from "./i18n.js";
import { svg } from "./dom.js";
import { percent } from "./format.js";
import { across, band, below, linear, path } from "./scale.js";

const WIDTH = 560;
const HEIGHT = 340;
const EDGE = { left: 58, right: 16, top: 16, bottom: 50 };
const FIFTHS = [0, 0.2, 0.4, 0.6, 0.8, 1];

/** Where the axis of reaches may have a label. */
const REACHES = [0, 0.01, 0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1];

/** Points that the line of chance is drawn through. */
const CHANCE_POINTS = 40;

/** Where a reach stands on the axis, between 0 and 1. Roots give the small reaches room, where the choice is made. */
export function along(reach, curve) {
    return Math.sqrt(reach / curve.at(-1).reach);
}

/** The number of the point that stands nearest to a place on the axis. */
export function nearest(curve, at) {
    const away = (place) => Math.abs(along(curve[place].reach, curve) - at);
    return curve.reduce((best, _, place) => (away(place) < away(best) ? place : best), 0);
}

/** `onMove` gets the number of the point that was dragged to. Gives the chart, and `mark` to move its mark. */
export function reachCurve(curve, onMove) {
    const bottom = HEIGHT - EDGE.bottom;
    const most = curve.at(-1).reach;
    const straight = linear(0, 1, EDGE.left, WIDTH - EDGE.right);
    const x = (reach) => straight(along(reach, curve));
    const y = linear(0, 1, bottom, EDGE.top);
    const origin = [x(0), y(0)];
    const line = (value) => [origin, ...curve.map((point) => [x(point.reach), y(value(point))])];
    const stem = svg("line", { class: "stem", y1: bottom });
    const dot = svg("circle", { class: "handle", r: 8 });
    const chance = Array.from({ length: CHANCE_POINTS + 1 }, (_, place) => most * (place / CHANCE_POINTS) ** 2).map((reach) => [x(reach), y(reach)]);
    const labels = REACHES.filter((reach) => reach <= most);
    const element = svg(
        "svg",
        { class: "chart reach-curve", viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": t("reach.chart") },
        across(FIFTHS, y, EDGE.left, WIDTH - EDGE.right, percent),
        below(labels, x, bottom, percent, (place) => (place === labels.length - 1 && most - labels[place] < 0.01 ? "end" : "middle")),
        svg("text", { class: "axis-name middle", x: (EDGE.left + WIDTH - EDGE.right) / 2, y: HEIGHT - 8 }, t("reach.axis.x")),
        svg("path", { class: "chance", d: path(chance) }),
        svg("path", { class: "band", d: band(line((point) => point.high), line((point) => point.low)) }),
        svg("path", { class: "curve", d: path(line((point) => point.recall)) }),
        stem,
        dot,
    );
    dragging(element, curve, straight, onMove);
    const mark = (place) => {
        const { reach, recall } = curve[place];
        for (const [name, value] of [["x1", x(reach)], ["x2", x(reach)], ["y2", y(recall)]]) stem.setAttribute(name, value);
        dot.setAttribute("cx", x(reach));
        dot.setAttribute("cy", y(recall));
    };
    return { element, mark };
}

/** Follows a pressed pointer along the curve. */
function dragging(element, curve, straight, onMove) {
    const follow = (event) => {
        const { left, width } = element.getBoundingClientRect();
        const at = ((event.clientX - left) / width) * WIDTH;
        onMove(nearest(curve, (at - straight(0)) / (straight(1) - straight(0))));
    };
    element.addEventListener("pointerdown", (event) => {
        element.setPointerCapture(event.pointerId);
        follow(event);
    });
    element.addEventListener("pointermove", (event) => {
        if (element.hasPointerCapture(event.pointerId)) follow(event);
    });
}
