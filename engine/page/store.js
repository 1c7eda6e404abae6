// What several views need: asked once, kept until something changes it.

import * as api from "./api.js";
import { compare, middle } from "./format.js";
import { empty, plain, quote } from "./expression.js";

/** How long an answer is kept, in milliseconds: sizes change while people come and memberships expire. */
const LIFE = 60_000;

const kept = new Map();

function once(key, ask) {
    const found = kept.get(key);
    if (found && performance.now() < found.until) return found.asked;
    const asked = ask();
    kept.set(key, { asked, until: performance.now() + LIFE });
    // A failure is not kept: the next view that needs the answer asks again.
    asked.catch(() => kept.delete(key));
    return asked;
}

/** The charter in force. */
export const charter = () => once("charter", api.charter);

/** All segments, with sizes. */
export const segments = () => once("segments", async () => (await api.segments()).segments);

/** The saved audiences, and lookalike ones, by name. */
export const audiences = () => once("audiences", async () => (await api.audiences()).audiences);

/** Forgets the answers under `keys`, so that the next view asks anew. */
export function forget(...keys) {
    keys.forEach((key) => kept.delete(key));
}

/** The types of id that the charter names; `cookie` is always one. */
export async function idTypes() {
    const named = (await charter()).sources.flatMap((source) => source.id_types ?? []);
    return [...new Set(["cookie", ...named])];
}

/** The first part of a name, up to its first dot. */
export function group(name) {
    const dot = name.indexOf(".");
    return dot > 0 ? name.slice(0, dot) : "";
}

/** What an expression can name: `prefix.*` of two segments and more, the segments, the audiences if they are wanted. */
export async function operands({ prefixes = true, saved = true } = {}) {
    const known = await segments();
    const found = known.map((segment) => ({ operand: quote(segment.name), label: segment.name, size: segment.visitors }));
    if (prefixes) found.unshift(...prefixesOf(known.map((segment) => segment.name)));
    if (saved) {
        const own = await audiences().catch(() => []);
        found.unshift(...own.map((one) => ({ operand: `@${quote(one.name)}`, label: `@${one.name}`, size: one.visitors })));
    }
    return found;
}

function prefixesOf(names) {
    const held = new Map();
    for (const name of names) {
        for (let dot = name.indexOf("."); dot >= 0; dot = name.indexOf(".", dot + 1)) {
            const prefix = name.slice(0, dot + 1);
            held.set(prefix, (held.get(prefix) ?? 0) + 1);
        }
    }
    const several = [...held].filter(([prefix, many]) => many > 1 && prefix.length > 1);
    return several.sort(([a], [b]) => compare(a, b)).map(([prefix, many]) => ({ operand: `${quote(prefix)}*`, label: `${prefix}*`, many }));
}

/** The segments by group, groups by name, each sorted by name or by size. */
export function grouped(list, order) {
    const groups = new Map();
    for (const segment of list) {
        const key = group(segment.name);
        if (!groups.has(key)) groups.set(key, []);
        groups.get(key).push(segment);
    }
    const bySize = (a, b) => middle(b.visitors) - middle(a.visitors) || compare(a.name, b.name);
    const byName = (a, b) => compare(a.name, b.name);
    const sorted = [...groups].sort(([a], [b]) => compare(a, b));
    return sorted.map(([key, members]) => [key, members.sort(order === "size" ? bySize : byName)]);
}

/** The audience under construction: groups while they can say it, and always its text. */
export const draft = { model: empty(), text: "", name: "" };

/** Whether the draft names `operand` in one of its groups. */
export function drafted(operand) {
    const { model } = draft;
    return Boolean(model) && [...model.all, ...model.any, ...model.none].some((item) => plain(item.operand) === plain(operand));
}
