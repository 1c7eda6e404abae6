// The page's words in the language that the planner chose, else in the browser's.

import en from "./en.js";
import enMore from "./en-more.js";
import fr from "./fr.js";
import frMore from "./fr-more.js";
import { recall, remember } from "./memory.js";

/** The texts by language and key. */
export const TABLES = { en: { ...en, ...enMore }, fr: typeset({ ...fr, ...frMore }) };
const LOCALES = { en: "en-GB", fr: "fr-FR" };

/** French spaces that must not break a line: before : ; ? ! » and behind «. */
function typeset(table) {
    const set = (text) => text.replace(/ ([:;?!»])/g, "\u00a0$1").replace(/« /g, "«\u00a0");
    return Object.fromEntries(Object.entries(table).map(([key, text]) => [key, set(text)]));
}

function first() {
    const kept = recall("language");
    if (kept in TABLES) return kept;
    const wanted = navigator.languages?.length ? navigator.languages : [navigator.language ?? "en"];
    const known = wanted.map((tag) => tag.toLowerCase().split("-")[0]).find((tag) => tag in TABLES);
    return known ?? "en";
}

let language = first();

/** The language in use: `en` or `fr`. */
export function current() {
    return language;
}

/** The locale for numbers and dates. */
export function locale() {
    return LOCALES[language];
}

/** Changes the language; the caller draws the page anew. */
export function choose(tag) {
    language = tag;
    remember("language", tag);
}

/** The text under `key`, with `{name}` replaced by `values.name`. */
export function t(key, values = {}) {
    const text = TABLES[language][key];
    if (text === undefined) {
        console.error(`no text for ${key}`);
        return key;
    }
    return text.replace(/\{(\w+)\}/g, (whole, name) => values[name] ?? whole);
}

/** The form of `key` that the number asks for: `key.one` or `key.other`. */
export function plural(key, number, values = {}) {
    const form = new Intl.PluralRules(locale()).select(number) === "one" ? "one" : "other";
    const shown = new Intl.NumberFormat(locale()).format(number);
    return t(`${key}.${form}`, { n: shown, ...values });
}

/** Whether there is a text under `key`. */
export function has(key) {
    return key in TABLES[language];
}
