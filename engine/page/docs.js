// The description of the interface, drawn from /openapi.json.

import { h, show } from "./dom.js";

const METHODS = ["get", "put", "post", "delete"];

/** Every operation of a tag, in the order of the description. */
function operationsOf(api, tag) {
    const all = Object.entries(api.paths).flatMap(([path, item]) =>
        METHODS.filter((method) => item[method]?.tags.includes(tag)).map((method) => ({ path, method, ...item[method] })),
    );
    return all;
}

const nameOf = ({ method, path }) => `${method.toUpperCase()} ${path}`;

/** The command that asks it. */
function curl({ method, path, requestBody }) {
    const [media, content] = Object.entries(requestBody?.content ?? {})[0] ?? [];
    const parts = ["curl", method === "get" || (method === "post" && media) ? "" : `-X ${method.toUpperCase()}`];
    parts.push(`${location.origin}${path}`);
    if (content?.example !== undefined) {
        const body = typeof content.example === "string" ? content.example.trim() : JSON.stringify(content.example);
        parts.push(`-d '${body}'`);
    } else if (media) {
        parts.push("--data-binary @FILE");
    }
    return parts.filter(Boolean).join(" ");
}

/** A schema in a few words of JSON. */
function shape(api, schema, depth = 0) {
    if (!schema) return "";
    if (schema.$ref) return shape(api, api.components.schemas[schema.$ref.split("/").pop()], depth);
    if (schema.oneOf) return schema.oneOf.map((one) => shape(api, one, depth)).join(" or ");
    if (schema.type === "array") return `[${depth > 3 ? "…" : shape(api, schema.items ?? {}, depth + 1)}]`;
    if (schema.properties) {
        if (depth > 3) return "{…}";
        const required = new Set(schema.required ?? []);
        const fields = Object.entries(schema.properties).map(([name, value]) => `"${name}"${required.has(name) ? "" : "?"}: ${shape(api, value, depth + 1)}`);
        return `{${fields.join(", ")}}`;
    }
    if (schema.enum) return schema.enum.map((value) => JSON.stringify(value)).join(" | ");
    return Array.isArray(schema.type) ? schema.type.join(" | ") : (schema.type ?? "…");
}

function article(api, operation) {
    const parameters = (operation.parameters ?? []).flatMap(({ name, description }) => [h("dt", null, h("code", null, name)), h("dd", null, description)]);
    const answers = Object.entries(operation.responses).flatMap(([status, { description, content }]) => {
        const json = content?.["application/json"]?.schema;
        return [h("dt", null, h("code", null, status)), h("dd", null, description, json && h("pre", { tabindex: "0" }, shape(api, json)))];
    });
    return h(
        "article",
        { id: operation.operationId },
        h("h3", null, h("code", null, nameOf(operation))),
        h("p", null, operation.summary),
        parameters.length > 0 && [h("h4", null, "Parameters"), h("dl", null, parameters)],
        h("h4", null, "Try it"),
        h("pre", { tabindex: "0" }, curl(operation)),
        h("h4", null, "Answers"),
        h("dl", null, answers),
    );
}

async function draw() {
    const api = await (await fetch("/openapi.json")).json();
    document.getElementById("about").textContent = api.info.description;
    const groups = api.tags.map(({ name }) => ({ name, operations: operationsOf(api, name) }));
    const link = (operation) => h("li", null, h("a", { href: `#${operation.operationId}` }, h("code", null, nameOf(operation))), ` ${operation.summary}`);
    show(document.getElementById("contents"), h("ul", null, groups.flatMap(({ operations }) => operations.map(link))));
    const title = (name) => h("h2", null, `For ${name}`);
    show(document.getElementById("operations"), groups.map(({ name, operations }) => h("section", null, title(name), operations.map((operation) => article(api, operation)))));
}

draw().catch((error) => show(document.getElementById("operations"), `The description cannot be shown: ${error.message}`));
