// Why a lookalike finds whom it finds: bars of what is over- and under-represented among the seed. The bars stand in the
// tables that tell their figures.

import { t } from "./i18n.js";
import { breakable, h } from "./dom.js";
import { percent, times } from "./format.js";
import { table } from "./parts.js";

/** The three tables; those that are empty are left out. */
export function explanation({ over = [], under = [], pairs = [] } = {}) {
    if (over.length + under.length + pairs.length === 0) return null;
    const named = (rows) => rows.map((row) => ({ ...row, name: row.segment ?? row.segments.join(" + ") }));
    return h(
        "section",
        { class: "explanation" },
        h("h3", null, t("explain.title")),
        h("p", { class: "hint" }, t("explain.text")),
        h("p", { class: "legend" }, h("span", { class: "swatch seed", "aria-hidden": "true" }), t("explain.seed"), h("span", { class: "swatch all", "aria-hidden": "true" }), t("explain.all")),
        h("div", { class: "bars" }, bars(t("explain.over"), named(over)), bars(t("explain.under"), named(under)), bars(t("explain.pairs"), named(pairs))),
    );
}

function bars(caption, rows) {
    if (rows.length === 0) return null;
    const most = Math.max(...rows.flatMap((row) => [row.seed_share, row.population_share]));
    const bar = (kind, share) => h("span", { class: `bar ${kind}`, "aria-hidden": "true", style: { "--share": String(share / most) } });
    const both = (row) => h("div", { class: "pair" }, bar("seed", row.seed_share), h("span", { class: "figure" }, percent(row.seed_share)), bar("all", row.population_share), h("span", { class: "figure" }, percent(row.population_share)));
    const spoken = (row) => h("span", { class: "unseen" }, t("explain.row", { seed: percent(row.seed_share), all: percent(row.population_share) }));
    const columns = [
        { head: t("explain.segment"), cell: (row) => breakable(row.name) },
        { head: t("explain.shares"), cell: (row) => [spoken(row), h("div", { "aria-hidden": "true" }, both(row))] },
        { head: t("explain.lift"), cell: (row) => times(row.lift), number: true },
    ];
    return table(caption, columns, rows);
}
