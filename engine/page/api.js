// The server's routes. Every failure is a Problem, so that each view can say in words what went wrong.

import { t, has } from "./i18n.js";

/** How long the page waits for an answer, in milliseconds. */
const PATIENCE = 60_000;

/** A request that failed. `status` is 0 when the server did not answer. */
export class Problem extends Error {
    constructor({ status = 0, title = "", detail = "", column = null }) {
        super(detail || title);
        Object.assign(this, { status, title, detail, column });
    }

    /** What kind of failure it is, in the planner's language. */
    get heading() {
        const key = `problem.${this.status}`;
        return has(key) ? t(key) : t("problem.other");
    }
}

async function call(method, path, { body, signal } = {}) {
    const limits = [AbortSignal.timeout(PATIENCE), ...(signal ? [signal] : [])];
    const options = { method, signal: AbortSignal.any(limits), headers: { accept: "application/json" }, cache: "no-store" };
    if (body !== undefined) {
        options.body = JSON.stringify(body);
        options.headers["content-type"] = "application/json";
    }
    let reply, text;
    try {
        reply = await fetch(path, options);
        text = await reply.text();
    } catch (error) {
        if (signal?.aborted) throw error;
        throw new Problem({ detail: t(error.name === "TimeoutError" ? "problem.slow" : "problem.gone") });
    }
    let answer = null;
    try {
        answer = text === "" ? null : JSON.parse(text);
    } catch {
        throw new Problem({ status: reply.status, detail: t("problem.unreadable") });
    }
    if (!reply.ok) throw new Problem({ ...answer, status: reply.status });
    return { status: reply.status, answer };
}

async function ask(method, path, options) {
    return (await call(method, path, options)).answer;
}

const name = encodeURIComponent;

export const segments = () => ask("GET", "/v1/segments");
export const charter = () => ask("GET", "/v1/charter");
export const size = (expression, signal) => ask("POST", "/v1/size", { body: { expression }, signal });
export const overlap = (list, signal) => ask("POST", "/v1/overlap", { body: { segments: list }, signal });

export const audiences = () => ask("GET", "/v1/audiences");
export const audience = (called) => ask("GET", `/v1/audiences/${name(called)}`);
export const saveAudience = (called, expression) => call("PUT", `/v1/audiences/${name(called)}`, { body: { expression } });
export const deleteAudience = (called) => ask("DELETE", `/v1/audiences/${name(called)}`);

export const lookalikes = () => ask("GET", "/v1/lookalikes");
export const lookalike = (called) => ask("GET", `/v1/lookalikes/${name(called)}`);
export const makeLookalike = (order) => ask("POST", "/v1/lookalikes", { body: order });
export const cutLookalike = (called, reach) => call("PUT", `/v1/lookalikes/${name(called)}/audience`, { body: { reach } });

export const lookup = (id, type) => ask("GET", `/v1/visitors/${name(id)}/segments?id_type=${name(type)}`);
