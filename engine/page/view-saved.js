// The saved audiences: how many people each is, how that changed, and what to do with it.

import * as api from "./api.js";
import { t } from "./i18n.js";
import { announce, h, show } from "./dom.js";
import { compare, day } from "./format.js";
import { quote } from "./expression.js";
import { address } from "./address.js";
import { audiences, forget } from "./store.js";
import { confirm, loading, notice, nothing, problem, size } from "./parts.js";
import { trend } from "./chart-trend.js";

/** Draws the list into `section`. */
export async function saved(section, signal) {
    const heading = h("h2", { tabindex: "-1" }, t("saved.title"));
    show(section, heading, loading());
    try {
        const list = await audiences();
        if (signal.aborted) return;
        if (list.length === 0) return void show(section, heading, nothing(t("saved.empty"), t("saved.empty.text")));
        const sorted = [...list].sort((a, b) => compare(a.name, b.name));
        show(section, heading, h("ul", { class: "cards" }, sorted.map((one) => card(one, section, signal))));
    } catch (error) {
        if (!signal.aborted) show(section, heading, problem(error, () => saved(section, signal)));
    }
}

function card(one, section, signal) {
    const { name, expression, lookalike, visitors, created } = one;
    const open = expression ? address("audience", { e: expression, name }) : address("lookalike", { name: lookalike?.name ?? name });
    const remove = async () => {
        if (!(await confirm(t("saved.delete.sure", { name }), t("saved.delete.text"), t("saved.delete")))) return;
        try {
            await api.deleteAudience(name);
            forget("audiences");
            announce(t("saved.deleted", { name }));
            await saved(section, signal);
            section.querySelector("h2").focus();
        } catch (error) {
            show(outcome, problem(error));
        }
    };
    const outcome = h("div");
    const curve = h("div", { class: "curve" });
    const history = h("details", { class: "behind" }, h("summary", null, t("saved.trend"), h("span", { class: "unseen" }, ` ${name}`)), curve);
    history.addEventListener("toggle", () => history.open && curve.childElementCount === 0 && follow(curve, name));
    const deeds = [
        h("a", { class: "button small", href: open, "aria-label": t("saved.open.label", { name }) }, t("saved.open")),
        h("a", { class: "button small", href: address("overlap", { s: `@${quote(name)}` }), "aria-label": t("saved.compare.label", { name }) }, t("saved.compare")),
        h("button", { type: "button", class: "small danger", "aria-label": t("saved.delete.label", { name }), on: { click: remove } }, t("saved.delete")),
    ];
    return h(
        "li",
        { class: "card" },
        h("div", { class: "card-head" }, h("h3", null, name), h("p", null, size(visitors))),
        h("p", { class: "expression" }, expression ?? t("saved.lookalike")),
        h("p", { class: "hint" }, t("saved.created", { day: day(created) })),
        history,
        h("div", { class: "deeds" }, deeds),
        outcome,
    );
}

/** The trend of one audience, asked for when somebody looks at it. */
async function follow(place, name) {
    show(place, loading());
    try {
        const { trend: points = [], unknown = [] } = await api.audience(name);
        const strangers = unknown.map((one) => notice("warn", t("audience.unknown", { name: one.name })));
        show(place, strangers, points.length > 0 ? trend(points, name) : h("p", { class: "hint" }, t("saved.trend.none")));
    } catch (error) {
        show(place, problem(error, () => follow(place, name)));
    }
}
