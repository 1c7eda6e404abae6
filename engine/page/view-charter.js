// The charter in force, for reading: what is collected, from whom, why, for how long, and how to have none of it.

import { t, has, plural } from "./i18n.js";
import { h, show } from "./dom.js";
import { life, list, number } from "./format.js";
import { charter, segments } from "./store.js";
import { loading, notice } from "./parts.js";

/** What looks like an address to write to. */
const MAIL = /^[^\s@<>]+@[^\s@<>]+$/;

/** Draws the charter. */
export async function draw(place, _params, signal) {
    show(place, loading());
    const [rules, all] = await Promise.all([charter(), segments().catch(() => [])]);
    if (signal.aborted) return;
    const { house, sources, forbidden, lookalike, development } = rules;
    show(
        place,
        development && notice("warn", t("charter.development"), h("p", null, t("charter.development.text"))),
        h("div", { class: "charter" }, people(house), promises(house, forbidden, lookalike), from(sources, all), leaving(house)),
    );
}

function section(title, ...rest) {
    return h("section", { class: "article" }, h("h2", null, title), rest);
}

/** The words for what a charter names, where there are some. */
function word(stem, key) {
    return has(`${stem}.${key}`) ? t(`${stem}.${key}`) : key;
}

function people({ name, steward }) {
    const terms = [
        [t("charter.house"), name],
        [t("charter.steward"), contact(steward)],
    ];
    return section(t("charter.who"), h("p", null, t("charter.who.text")), facts(terms));
}

function contact(steward) {
    return MAIL.test(steward) ? h("a", { href: `mailto:${steward}` }, steward) : steward;
}

function facts(terms) {
    return h("dl", { class: "facts-list" }, terms.map(([term, text]) => h("div", null, h("dt", null, term), h("dd", null, text))));
}

function promises(house, forbidden, lookalike) {
    const never = forbidden.prefixes.map((prefix) => word("never", prefix.replace(/\.$/, "")));
    const named = never.length > 0 ? h("p", null, t("charter.never.text"), " ", h("strong", null, list(never)), ".") : h("p", null, t("charter.never.none"));
    const rows = [t("charter.pseudonym"), t("charter.floor", { n: number(house.size_floor) }), t("charter.seed", { n: number(lookalike.min_seed) }), t("charter.lookalike", { n: number(lookalike.min_audience), span: life(lookalike.ttl) })];
    return section(t("charter.never"), named, h("h3", null, t("charter.protect")), h("ul", null, rows.map((text) => h("li", null, text))));
}

function from(sources, all) {
    if (sources.length === 0) return section(t("charter.sources"), h("p", null, t("charter.sources.none")));
    return section(t("charter.sources"), h("p", null, t("charter.sources.text")), h("ul", { class: "cards" }, sources.map((source) => provider(source, all))));
}

function provider(source, all) {
    const owned = all.filter((segment) => segment.source === source.name).length;
    const prefixes = source.prefixes.map((prefix) => (prefix === "" ? t("charter.everything") : `${prefix}*`));
    const terms = [
        [t("charter.what"), [h("strong", null, word("class", source.class)), ": ", word("class.long", source.class)]],
        [t("charter.names"), [prefixes.map((prefix, place) => [place > 0 && ", ", h("code", null, prefix)]), owned > 0 && ` (${plural("segments.count", owned)})`]],
        [t("charter.ids"), list(source.id_types)],
        [t("charter.why"), [h("strong", null, word("basis", source.legal_basis)), ": ", word("basis.long", source.legal_basis)]],
        [t("charter.life"), t("charter.life.text", { span: life(source.ttl) })],
        [t("charter.gone"), t("charter.gone.text", { span: life(source.max_retention) })],
    ];
    return h("li", { class: "card" }, h("h3", null, source.name), facts(terms));
}

function leaving({ steward }) {
    const address = (path) => h("code", null, path);
    const way = (head, text, path) => h("li", null, h("strong", null, head), " ", text, " ", path && h("span", { class: "hint" }, t("charter.address"), " ", address(path)));
    return section(
        t("charter.out"),
        h("p", null, t("charter.out.text"), " ", contact(steward), "."),
        h("ul", { class: "ways" }, way(t("charter.opt-out"), t("charter.opt-out.text"), "PUT /v1/visitors/{id}/opt-out"), way(t("charter.back"), t("charter.back.text"), "DELETE /v1/visitors/{id}/opt-out"), way(t("charter.erase"), t("charter.erase.text"), "DELETE /v1/visitors/{id}"), way(t("charter.access"), t("charter.access.text"), "GET /v1/visitors/{id}")),
    );
}
