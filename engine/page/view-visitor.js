// Visitor tester: where an ad server would be told that a visitor belongs, at this moment.

import * as api from "./api.js";
import { t, plural } from "./i18n.js";
import { announce, h, show } from "./dom.js";
import { life } from "./format.js";
import { address } from "./address.js";
import { quote } from "./expression.js";
import { idTypes, segments } from "./store.js";
import { field, loading, notice, nothing, problem } from "./parts.js";

/** The longest id, in characters; the server counts bytes. */
const MAX_ID = 256;

/** Draws the form; nothing of it is kept. */
export async function draw(place, _params, signal) {
    show(place, loading());
    const types = await idTypes();
    if (signal.aborted) return;
    const id = h("input", { type: "text", required: true, maxlength: String(MAX_ID), autocomplete: "off", spellcheck: "false", autocapitalize: "off" });
    const type = h("input", { type: "text", value: "cookie", required: true, autocomplete: "off", list: "types" });
    const known = h("datalist", { id: "types" }, types.map((one) => h("option", { value: one })));
    const result = h("div", { class: "result" });
    const button = h("button", { type: "submit", class: "strong" }, t("visitor.look"));
    const submit = async (event) => {
        event.preventDefault();
        show(result, loading());
        try {
            const [answer, all] = await Promise.all([api.lookup(id.value.trim(), type.value.trim() || "cookie"), segments().catch(() => [])]);
            if (!signal.aborted) tell(result, answer, all);
        } catch (error) {
            if (signal.aborted) return;
            show(result, problem(error));
            announce(`${error.heading} ${error.message}`);
        }
    };
    const fields = h("div", { class: "fields" }, field(t("visitor.id"), id, t("visitor.id.hint")), field(t("visitor.type"), type, t("visitor.type.hint")));
    show(place, h("form", { class: "tester", on: { submit } }, fields, known, h("div", { class: "deeds" }, button)), result);
    show(result, nothing(t("visitor.start"), t("visitor.start.text")));
}

function tell(result, { segments: inside, audiences, reason }, all) {
    const known = new Map(all.map((segment) => [segment.name, segment]));
    const said = reason && notice("warn", t(`visitor.${reason}`), h("p", null, t(`visitor.${reason}.text`)));
    const empty = inside.length + audiences.length === 0;
    if (empty && !reason) {
        show(result, notice("plain", t("visitor.unknown"), h("p", null, t("visitor.unknown.text"))));
        return announce(t("visitor.unknown"));
    }
    if (empty) {
        show(result, said);
        return announce(t(`visitor.${reason}`));
    }
    const line = (name) => {
        const segment = known.get(name);
        const facts = segment ? [t("segments.source", { name: segment.source }), segment.class && t(`class.${segment.class}`), segment.ttl && t("segments.life", { span: life(segment.ttl) })] : [];
        return h("li", null, h("div", { class: "what" }, h("span", { class: "name" }, name), h("span", { class: "facts" }, facts.filter(Boolean).join(" · "))));
    };
    const audience = (name) => h("li", { class: "chip" }, h("a", { class: "name", href: address("audience", { e: `@${quote(name)}` }) }, name));
    show(
        result,
        said,
        h("section", null, h("h2", null, t("visitor.audiences")), audiences.length > 0 ? h("ul", { class: "chips" }, audiences.map(audience)) : h("p", { class: "hint" }, t("visitor.audiences.none"))),
        h("section", null, h("h2", null, t("visitor.segments")), inside.length > 0 ? h("ul", { class: "lines" }, inside.map(line)) : h("p", { class: "hint" }, t("visitor.segments.none"))),
    );
    announce(t("visitor.found", { segments: plural("segments.count", inside.length), audiences: plural("audience.count", audiences.length) }));
}
