// What came of a lookalike: how well it finds the seed's like, how far to reach, and the audience at that reach.

import * as api from "./api.js";
import { t } from "./i18n.js";
import { announce, debounce, h, pause, show } from "./dom.js";
import { day, list, middle, number, parts, people, percent, times } from "./format.js";
import { note, address } from "./address.js";
import { forget } from "./store.js";
import { behind, loading, notice, problem, size } from "./parts.js";
import { along, nearest, reachCurve } from "./chart-reach.js";
import { explanation } from "./chart-bars.js";

/** How often, and how long between, a published audience is looked for. */
const LOOKS = 60;
const LOOK_EVERY = 2_000;

/** Milliseconds between the last move of the slider and what a screen reader hears. */
const REST = 400;

/** The reach that the slider begins with, when neither address nor audience names one. */
const FIRST_REACH = 0.05;

/** The card as the server tells it, with the slider at `reach`; an audience has `fewest` people at least. */
export function card(found, fewest, reach, signal) {
    const { name, method, created, seed, scored, excluded = [], warnings = [] } = found;
    const facts = [
        [t("card.seed"), t("card.seed.text", { given: people(seed.given), matched: people(seed.matched) })],
        [t("card.scored"), people(scored)],
        [t("card.excluded"), excluded.length > 0 ? list(excluded) : t("card.excluded.none")],
        [t("card.method"), t(`lookalike.method.${method}`)],
        [t("card.created"), day(created)],
    ];
    const warned = warnings.map((text) => notice("warn", t("card.warning"), h("p", { lang: "en" }, text)));
    return h(
        "article",
        { class: "lookalike" },
        h("h2", { tabindex: "-1" }, name),
        headline(found.headline),
        h("div", { class: "warnings" }, warned),
        found.curve.length > 0 ? new Reach(found, fewest, reach, signal).element : notice("warn", t("card.no-curve")),
        explanation(found.explanation),
        h("section", null, h("h3", null, t("card.facts")), h("dl", { class: "facts-list" }, facts.map(([term, text]) => h("div", null, h("dt", null, term), h("dd", null, text))))),
    );
}

/** What the curve says, in sentences. */
function headline({ half, four_fifths: fourFifths, lift_below_two: fades } = {}) {
    const lines = [
        half && t("card.half", { reach: percent(half) }),
        fourFifths && t("card.four-fifths", { reach: percent(fourFifths) }),
        fades && t("card.fades", { reach: percent(fades) }),
    ];
    const said = lines.filter(Boolean);
    return said.length > 0 && h("p", { class: "finding" }, said.join(" "));
}

class Reach {
    constructor(found, fewest, reach, signal) {
        Object.assign(this, { found, fewest, signal });
        const { curve } = found;
        const named = reach ?? found.audience?.reach;
        this.place = named ? nearest(curve, along(named, curve)) : this.first();
        this.chart = reachCurve(curve, (place) => this.move(place));
        const label = t("reach.slider");
        this.slider = h("input", { type: "range", min: "0", max: "1", step: "any", id: "reach" });
        this.slider.addEventListener("input", () => this.move(nearest(curve, Number(this.slider.value))));
        this.slider.addEventListener("keydown", (event) => this.key(event));
        this.words = h("div", { class: "words" });
        this.outcome = h("div", { class: "outcome" });
        this.button = h("button", { type: "button", class: "strong", on: { click: () => this.create() } });
        this.small = h("p", { class: "hint" }, t("reach.small", { n: number(fewest) }));
        this.say = debounce(() => announce(this.sentence()), REST);
        const columns = [
            { head: t("reach.reach"), cell: (point) => percent(point.reach) },
            { head: t("people"), cell: (point) => size(point.visitors), number: true },
            { head: t("reach.recall"), cell: (point) => t("reach.recall.range", { recall: percent(point.recall), low: percent(point.low), high: percent(point.high) }), number: true },
            { head: t("reach.lift"), cell: (point) => times(point.lift), number: true },
            { head: t("reach.slice"), cell: (point) => times(point.slice_lift), number: true },
        ];
        this.element = h(
            "section",
            { class: "reach" },
            h("h3", null, t("reach.title")),
            h("p", { class: "hint" }, t("reach.text")),
            h("div", { class: "reach-board" }, h("figure", null, h("p", { class: "hint" }, t("reach.axis.y")), this.chart.element, legend(), h("div", { class: "field" }, h("label", { for: "reach" }, label), this.slider), behind(t("as-table"), t("reach.caption"), columns, curve)), h("div", { class: "panel" }, this.words, this.button, this.small, this.outcome)),
        );
        this.draw();
        this.present();
    }

    /** The first point from which an audience can be made, but not closer than a usual one. */
    first() {
        const { curve } = this.found;
        const place = curve.findIndex((point) => point.reach >= FIRST_REACH && middle(point.visitors) >= this.fewest);
        return place >= 0 ? place : curve.length - 1;
    }

    get point() {
        return this.found.curve[this.place];
    }

    /** Keys go from point to point, wherever these stand on the axis. */
    key(event) {
        const last = this.found.curve.length - 1;
        const steps = { ArrowRight: 1, ArrowUp: 1, ArrowLeft: -1, ArrowDown: -1, PageUp: 3, PageDown: -3, Home: -last, End: last };
        if (!(event.key in steps)) return;
        event.preventDefault();
        this.move(Math.min(last, Math.max(0, this.place + steps[event.key])));
    }

    move(place) {
        this.slider.value = String(along(this.found.curve[place].reach, this.found.curve));
        if (place === this.place) return;
        this.place = place;
        this.draw();
        note("lookalike", { name: this.found.name, reach: String(this.point.reach) });
        this.say();
    }

    draw() {
        const { reach, visitors, recall, low, high, lift, slice_lift: slice } = this.point;
        this.chart.mark(this.place);
        this.slider.value = String(along(reach, this.found.curve));
        this.slider.setAttribute("aria-valuetext", this.sentence());
        const { words, between } = parts(visitors);
        const fact = (term, text, small) => h("div", null, h("dt", null, term), h("dd", null, text, small && h("span", { class: "range" }, ` ${small}`)));
        show(
            this.words,
            h("p", { class: "label" }, t("reach.now", { reach: percent(reach) })),
            h("p", { class: "big" }, words),
            between && h("p", { class: "between" }, between),
            h("dl", null, fact(t("reach.recall"), percent(recall), t("reach.between", { low: percent(low), high: percent(high) })), fact(t("reach.lift"), t("reach.lift.text", { times: times(lift) })), fact(t("reach.slice"), t("reach.slice.text", { times: times(slice) }))),
        );
        const small = (visitors.high ?? visitors.exact ?? visitors.below) < this.fewest;
        this.button.textContent = t("reach.create", { reach: percent(reach) });
        this.button.disabled = small;
        this.small.hidden = !small;
    }

    sentence() {
        const { reach, visitors, recall, lift } = this.point;
        return t("reach.sentence", { reach: percent(reach), people: people(visitors), recall: percent(recall), times: times(lift) });
    }

    /** The audience that there is already. */
    present() {
        const { audience } = this.found;
        if (audience) show(this.outcome, this.made(audience, t("reach.there", { reach: percent(audience.reach), people: people(audience.visitors), day: day(audience.created) })));
    }

    async create() {
        const { reach } = this.point;
        this.button.disabled = true;
        show(this.outcome, loading(t("reach.creating")));
        announce(t("reach.creating"));
        try {
            const { status, answer } = await api.cutLookalike(this.found.name, reach);
            forget("audiences", "segments");
            if (status === 202) await this.published(answer.segment);
            if (this.signal.aborted) return;
            const text = t("reach.created", { reach: percent(answer.reach), people: people(answer.visitors) });
            show(this.outcome, this.made(answer, text, churn(answer.churn)));
            announce(text);
        } catch (error) {
            if (this.signal.aborted) return;
            show(this.outcome, problem(error));
            announce(`${error.heading} ${error.message}`);
        } finally {
            this.draw();
        }
    }

    /** Waits until the audience is what lookups answer with. */
    async published(segment) {
        show(this.outcome, loading(t("reach.publishing")));
        announce(t("reach.publishing"));
        for (let look = 0; look < LOOKS && !this.signal.aborted; look += 1) {
            await pause(LOOK_EVERY);
            if ((await api.lookalike(this.found.name)).audience?.segment === segment) return;
        }
    }

    made({ segment }, text, more) {
        const name = h("p", null, t("reach.segment"), " ", h("code", null, segment));
        const links = h("div", { class: "deeds" }, h("a", { class: "button small", href: address("audience", { e: `@${this.found.name}` }) }, t("reach.use")), h("a", { class: "button small", href: "#audience" }, t("reach.list")));
        return notice("good", text, more, name, links);
    }
}

/** Who came and who went since the audience before. */
function churn(change) {
    if (!change) return h("p", null, t("reach.first"));
    return h("p", null, t("reach.churn", { joined: people(change.joined), left: people(change.left) }));
}

/** What the lines of the chart are. */
function legend() {
    const mark = (kind) => h("span", { class: `swatch ${kind}`, "aria-hidden": "true" });
    return h("p", { class: "legend" }, mark("line"), t("reach.found"), mark("interval"), t("reach.band"), mark("dashes"), t("reach.random"));
}
