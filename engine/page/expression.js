// Between the three groups of the builder and the text of an expression. What the groups cannot say stays text; the
// server alone decides what a text means.

/** A token: blanks, then a parenthesis or comma, a quoted name, or a bare one; `*` belongs to a name that it follows. */
const TOKEN = /\s*(?:([(),])|(@?"(?:[^"\\]|\\.)*"\*?)|(@?[\p{L}\p{N}_.:-]+\*?))/uy;
const BARE = /^[\p{L}\p{N}_.:-]+$/u;
const KEYWORDS = new Set(["and", "or", "not", "at", "within"]);

/** An audience in three groups. An operand is text: `interest.theatre`, `interest.*`, `@autumn`, `"night life"`. */
export function empty() {
    return { all: [], any: [], least: 1, none: [] };
}

/** How a segment's name stands in an expression. */
export function quote(name) {
    if (BARE.test(name) && !KEYWORDS.has(name.toLowerCase())) return name;
    return `"${name.replace(/["\\]/g, "\\$&")}"`;
}

/** An operand without its quotes, for people. */
export function plain(operand) {
    return operand.replace(/"((?:[^"\\]|\\.)*)"/, (_, inner) => inner.replace(/\\(.)/g, "$1"));
}

/** How many operands the groups hold. */
export function count(model) {
    return model.all.length + model.any.length + model.none.length;
}

/** The text of the groups; empty when they are. */
export function write(model) {
    const leaf = ({ operand, days }) => (days ? `${operand} within ${days} ${days === 1 ? "day" : "days"}` : operand);
    const any = model.any.map(leaf);
    const least = Math.min(model.least, any.length);
    const alone = model.all.length + model.none.length === 0;
    const joined = any.length > 1 && least < 2 ? any.join(" or ") : null;
    const chosen = joined ? (alone ? joined : `(${joined})`) : any.length > 1 ? `at least ${least} of (${any.join(", ")})` : any[0];
    return [...model.all.map(leaf), ...(chosen ? [chosen] : []), ...model.none.map((item) => `not ${leaf(item)}`)].join(" and ");
}

/** The tokens of `text`; null when some character begins none. */
export function tokens(text) {
    const found = [];
    let at = 0;
    while (text.slice(at).trim() !== "") {
        TOKEN.lastIndex = at;
        const match = TOKEN.exec(text);
        if (!match) return null;
        const [whole, mark, quoted, bare] = match;
        const word = bare && !bare.startsWith("@") ? bare.toLowerCase() : "";
        found.push({ text: mark ?? quoted ?? bare, word: mark ?? word, end: at + whole.length });
        at += whole.length;
    }
    return found;
}

/** Where a text is read, one token after the other. Each step gives null, or stops the reading, when it does not fit. */
class Reader {
    constructor(found) {
        this.found = found;
        this.at = 0;
    }

    get done() {
        return this.at === this.found.length;
    }

    take(word) {
        if (this.found[this.at]?.word !== word) return false;
        this.at += 1;
        return true;
    }

    number() {
        const text = this.found[this.at]?.text ?? "";
        if (!/^\d{1,3}$/.test(text)) throw new RangeError("a number");
        this.at += 1;
        return Number(text);
    }

    leaf() {
        const token = this.found[this.at];
        if (!token || "(),".includes(token.word || "-") || KEYWORDS.has(token.word)) throw new RangeError("a name");
        this.at += 1;
        if (!this.take("within")) return { operand: token.text };
        const days = this.number();
        if (!this.take("days") && !this.take("day")) throw new RangeError("days");
        return { operand: token.text, days };
    }

    leaves(between) {
        const list = [this.leaf()];
        while (this.take(between)) list.push(this.leaf());
        if (!this.take(")")) throw new RangeError(")");
        return list;
    }
}

/** The groups that `text` says; null when it says something that they cannot. */
export function read(text) {
    const found = tokens(text);
    if (!found) return null;
    try {
        return grouped(new Reader(found));
    } catch (error) {
        if (error instanceof RangeError) return null;
        throw error;
    }
}

function grouped(reader) {
    const model = empty();
    if (reader.done) return model;
    let several = false;
    const choice = (list, least) => {
        if (several) throw new RangeError("one choice");
        several = true;
        model.any = list;
        model.least = least;
    };
    do {
        if (reader.take("not")) {
            if (reader.take("(")) model.none.push(...reader.leaves("or"));
            else model.none.push(reader.leaf());
        } else if (reader.take("(")) {
            choice(reader.leaves("or"), 1);
        } else if (reader.take("at")) {
            if (!reader.take("least")) throw new RangeError("least");
            const least = reader.number();
            if (!reader.take("of") || !reader.take("(")) throw new RangeError("of");
            const list = reader.leaves(",");
            if (least < 1 || least > list.length) throw new RangeError("too many");
            choice(list, least);
        } else {
            model.all.push(reader.leaf());
        }
    } while (reader.take("and"));
    if (!reader.done && model.all.length === 1 && count(model) === 1) {
        const list = [model.all.pop()];
        while (reader.take("or")) list.push(reader.leaf());
        choice(list, 1);
    }
    return reader.done ? model : null;
}

/** `text` with every operand that names `from` replaced by one that names `to`. */
export function rename(text, from, to) {
    let changed = "";
    let at = 0;
    for (const token of tokens(text) ?? []) {
        const start = token.end - token.text.length;
        changed += text.slice(at, start) + (plain(token.text) === from ? renamed(from, to) : token.text);
        at = token.end;
    }
    return changed + text.slice(at);
}

function renamed(from, to) {
    if (from.startsWith("@")) return `@${to.replace(/^@/, "")}`;
    return to.endsWith(".*") ? to : quote(to);
}
