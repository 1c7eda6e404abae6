// Draws the frame, and in it the view that the address names. Views are functions from a place and parameters to
// elements; what they must remember between two drawings they keep in their module or in the address.

import { choose, current, t } from "./i18n.js";
import { h, show, announce } from "./dom.js";
import { recall, remember } from "./memory.js";
import { read, onChange } from "./address.js";
import { charter } from "./store.js";
import { problem } from "./parts.js";
import * as segments from "./view-segments.js";
import * as audience from "./view-audience.js";
import * as overlap from "./view-overlap.js";
import * as lookalike from "./view-lookalike.js";
import * as visitor from "./view-visitor.js";
import * as rules from "./view-charter.js";

const VIEWS = { segments, audience, overlap, lookalike, visitor, charter: rules };
const LANGUAGES = { en: "English", fr: "Français" };
const COLOURS = ["auto", "light", "dark"];

/** What engineers may want to open by hand. */
const ADDRESSES = ["/docs", "/openapi.json", "/metrics", "/healthz/ready"];

const main = document.getElementById("main");
let leave = null;

function navigation(view) {
    const link = (name) => h("li", null, h("a", { href: `#${name}`, "aria-current": name === view && "page" }, t(`nav.${name}`)));
    document.getElementById("nav").setAttribute("aria-label", t("nav.label"));
    show(document.querySelector("#nav ul"), Object.keys(VIEWS).map(link));
}

function languages() {
    const group = document.getElementById("languages");
    group.setAttribute("aria-label", t("language"));
    const button = ([tag, name]) => {
        const press = () => {
            choose(tag);
            draw({ moved: false });
            document.querySelector(`#languages [lang=${tag}]`).focus();
        };
        const props = { type: "button", lang: tag, "aria-pressed": String(tag === current()), "aria-label": name, on: { click: press } };
        return h("button", props, tag.toUpperCase());
    };
    show(group, Object.entries(LANGUAGES).map(button));
}

function colours() {
    const button = document.getElementById("colours");
    const chosen = COLOURS.includes(recall("colours")) ? recall("colours") : "auto";
    document.documentElement.dataset.colours = chosen;
    show(button, h("span", { "aria-hidden": "true" }, "◐"), t(`colours.${chosen}`));
    button.setAttribute("aria-label", t("colours.label", { now: t(`colours.${chosen}`) }));
    button.onclick = () => {
        remember("colours", COLOURS[(COLOURS.indexOf(chosen) + 1) % COLOURS.length]);
        colours();
    };
}

function frame(view) {
    document.documentElement.lang = current();
    document.getElementById("skip").textContent = t("skip");
    navigation(view);
    languages();
    colours();
    const links = ADDRESSES.map((path) => h("a", { href: path }, path));
    show(document.getElementById("footer"), h("p", null, t("footer.privacy")), h("p", { class: "addresses" }, t("footer.addresses"), " ", links));
    charter().then(
        (found) => {
            document.getElementById("house").textContent = found.development ? t("house.none") : found.house.name;
        },
        () => {},
    );
}

async function draw({ moved }) {
    const { view, params } = read();
    const name = view in VIEWS ? view : "segments";
    leave?.abort();
    leave = new AbortController();
    const { signal } = leave;
    frame(name);
    const heading = h("h1", { tabindex: "-1" }, t(`${name}.title`));
    const place = h("div", { class: "content" });
    show(main, h("div", { class: `view view-${name}` }, h("header", { class: "intro" }, heading, h("p", { class: "lede" }, t(`${name}.lede`))), place));
    document.title = t("document", { view: t(`nav.${name}`) });
    if (moved) {
        scrollTo(0, 0);
        heading.focus({ preventScroll: true });
    }
    try {
        await VIEWS[name].draw(place, params, signal);
    } catch (error) {
        if (signal.aborted) return;
        show(place, problem(error, () => draw({ moved: false })));
        announce(t("problem.announced"));
        if (error.status === undefined) console.error(error);
    }
}

document.getElementById("skip").addEventListener("click", (event) => {
    // The address is the view's: the link moves the focus and nothing else.
    event.preventDefault();
    main.focus();
    main.scrollIntoView();
});
onChange(() => draw({ moved: true }));
draw({ moved: false });
