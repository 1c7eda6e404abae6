// What charts share: scales, round steps, and a frame of axes.

import { svg } from "./dom.js";

/** From values between `from` and `to` to places between `start` and `end`. */
export function linear(from, to, start, end) {
    const width = to - from || 1;
    return (value) => start + ((value - from) / width) * (end - start);
}

/** Round values from 0 up to `most`, about `count` of them: steps of 1, 2 or 5 times a power of ten. */
export function steps(most, count) {
    const rough = most / count || 1;
    const power = 10 ** Math.floor(Math.log10(rough));
    const step = [1, 2, 5, 10].map((times) => times * power).find((size) => size >= rough);
    const last = Math.ceil(most / step - 1e-9);
    return Array.from({ length: last + 1 }, (_, place) => place * step);
}

/** The path through points. */
export function path(points) {
    return points.map(([x, y], place) => `${place === 0 ? "M" : "L"}${x.toFixed(1)} ${y.toFixed(1)}`).join("");
}

/** The closed path around a band: its upper edge, and its lower edge back. */
export function band(upper, lower) {
    return `${path(upper)}${path([...lower].reverse()).replace("M", "L")}Z`;
}

/** Lines across with their labels to the left. */
export function across(values, y, left, right, label) {
    return values.map((value) => [
        svg("line", { class: value === 0 ? "axis" : "grid", x1: left, x2: right, y1: y(value), y2: y(value) }),
        svg("text", { class: "tick end", x: left - 8, y: y(value) + 4 }, label(value)),
    ]);
}

/** Labels below the chart. */
export function below(values, x, bottom, label, anchor = () => "") {
    return values.map((value, place) => svg("text", { class: `tick ${anchor(place)}`, x: x(value), y: bottom + 20 }, label(value)));
}
