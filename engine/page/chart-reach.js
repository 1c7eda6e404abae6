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

/** `onMove` gets the number of the point that was dragged to. Gives the chart, and `mark` to move its mark. */
export function reachCurve(curve, onMove) {
    const bottom = HEIGHT - EDGE.bottom;
    const x = linear(0, 1, EDGE.left, WIDTH - EDGE.right);
    const y = linear(0, 1, bottom, EDGE.top);
    const origin = [x(0), y(0)];
    const line = (value) => [origin, ...curve.map((point) => [x(point.reach), y(value(point))])];
    const stem = svg("line", { class: "stem", y1: bottom });
    const dot = svg("circle", { class: "handle", r: 8 });
    const chance = line((point) => point.reach);
    const element = svg(
        "svg",
        { class: "chart reach-curve", viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": t("reach.chart") },
        across(FIFTHS, y, EDGE.left, WIDTH - EDGE.right, percent),
        below(FIFTHS, x, bottom, percent, (place) => (place === 5 ? "end" : "middle")),
        svg("text", { class: "axis-name middle", x: (EDGE.left + WIDTH - EDGE.right) / 2, y: HEIGHT - 8 }, t("reach.axis.x")),
        svg("path", { class: "chance", d: path(chance) }),
        svg("text", { class: "note", x: x(0.62), y: y(0.5) }, t("reach.random")),
        svg("path", { class: "band", d: band(line((point) => point.high), line((point) => point.low)) }),
        svg("path", { class: "curve", d: path(line((point) => point.recall)) }),
        stem,
        dot,
    );
    dragging(element, curve, x, onMove);
    const mark = (place) => {
        const { reach, recall } = curve[place];
        for (const [name, value] of [["x1", x(reach)], ["x2", x(reach)], ["y2", y(recall)]]) stem.setAttribute(name, value);
        dot.setAttribute("cx", x(reach));
        dot.setAttribute("cy", y(recall));
    };
    return { element, mark };
}

/** Follows a pressed pointer along the curve. */
function dragging(element, curve, x, onMove) {
    const follow = (event) => {
        const { left, width } = element.getBoundingClientRect();
        const at = ((event.clientX - left) / width) * WIDTH;
        const away = (place) => Math.abs(x(curve[place].reach) - at);
        onMove(curve.reduce((best, _, place) => (away(place) < away(best) ? place : best), 0));
    };
    element.addEventListener("pointerdown", (event) => {
        element.setPointerCapture(event.pointerId);
        follow(event);
    });
    element.addEventListener("pointermove", (event) => {
        if (element.hasPointerCapture(event.pointerId)) follow(event);
    });
}
