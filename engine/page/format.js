// Numbers, sizes, lives and dates in words.

import { current, locale, plural, t } from "./i18n.js";

const formats = new Map();

/** A number format of the language in use, made once. */
function format(options) {
    const key = locale() + JSON.stringify(options);
    if (!formats.has(key)) formats.set(key, new Intl.NumberFormat(locale(), options));
    return formats.get(key);
}

/** A whole number with its thousands apart. */
export function number(value) {
    return format({ maximumFractionDigits: 0 }).format(value);
}

/** A share of 1 as a percentage; small ones keep a digit behind the point. */
export function percent(share) {
    const digits = share > 0 && share < 0.0995 && Math.abs(share * 100 - Math.round(share * 100)) > 0.04 ? 1 : 0;
    return format({ style: "percent", maximumFractionDigits: digits }).format(share);
}

/** How many times: two digits that matter. */
export function times(factor) {
    const shown = format({ maximumSignificantDigits: 2 }).format(factor);
    return t("times", { n: shown });
}

/** A disclosed size in words, with its range: "about 12,000 people (11,500 to 12,500)". */
export function people(size) {
    const { words, range } = parts(size);
    return range ? `${words} (${range})` : words;
}

/** The same in pieces: the words, the range, and the range as a phrase of its own; without a range, empty texts. */
export function parts(size) {
    const alone = (words) => ({ words, range: "", between: "" });
    if (!size) return alone(t("size.unknown"));
    if ("below" in size) return alone(t("size.below", { n: number(size.below) }));
    if ("exact" in size) return alone(plural("size.exact", size.exact));
    const words = t("size.about", { n: number(size.about) });
    if (size.low === size.high) return alone(words);
    const ends = { low: number(size.low), high: number(size.high) };
    return { words, range: t("size.range", ends), between: t("size.between", ends) };
}

/** A disclosed size in a few characters: "12,000", "< 100". */
export function brief(size) {
    if (!size) return "–";
    if ("below" in size) return t("size.less", { n: number(size.below) });
    return number(size.exact ?? size.about);
}

/** A number to draw or sort a disclosed size by: 0 below the floor. */
export function middle(size) {
    return size?.exact ?? size?.about ?? 0;
}

/** A life as the charter writes it (`30d`, `12h`) in words. */
export function life(span) {
    const match = /^(\d+)([smhdw]?)$/.exec(span ?? "");
    if (!match) return span ?? "";
    const unit = { "": "second", s: "second", m: "minute", h: "hour", d: "day", w: "week" }[match[2]];
    return format({ style: "unit", unit, unitDisplay: "long" }).format(Number(match[1]));
}

/** A day: "28 November 2026". */
export function day(text) {
    const date = new Date(text);
    if (Number.isNaN(date.getTime())) return text;
    const zone = /^\d{4}-\d\d-\d\d$/.test(text) ? { timeZone: "UTC" } : {};
    return new Intl.DateTimeFormat(locale(), { dateStyle: "long", ...zone }).format(date);
}

/** A day for an axis: "28 Nov". */
export function shortDay(text) {
    return new Intl.DateTimeFormat(locale(), { day: "numeric", month: "short", timeZone: "UTC" }).format(new Date(text));
}

/** A moment: "28 November 2026 at 14:05". */
export function moment(text) {
    const date = new Date(text);
    if (Number.isNaN(date.getTime())) return text;
    return new Intl.DateTimeFormat(locale(), { dateStyle: "long", timeStyle: "short" }).format(date);
}

/** "a, b and c". */
export function list(items) {
    return new Intl.ListFormat(current(), { type: "conjunction" }).format(items);
}

/** Compares two names as a reader of the language would. */
export function compare(one, other) {
    return one.localeCompare(other, locale());
}
