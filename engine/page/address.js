// The address behind `#`: the view, then its parameters as a query. Links to it can be shared. Ids of visitors never
// stand in it, since browsers keep addresses.

/** The view and the parameters that the address names. */
export function read() {
    const [view, query = ""] = location.hash.slice(1).split("?", 2);
    return { view, params: new URLSearchParams(query) };
}

/** The address of a view. */
export function address(view, params = {}) {
    const pairs = Object.entries(params).flatMap(([name, value]) => [value].flat().map((one) => [name, one]));
    const query = new URLSearchParams(pairs.filter(([, value]) => value !== "" && value !== null && value !== undefined));
    return query.size > 0 ? `#${view}?${query}` : `#${view}`;
}

/** Goes to a view. */
export function go(view, params) {
    location.hash = address(view, params);
}

/** Notes in the address what the view shows now, without drawing it anew. */
export function note(view, params) {
    if (location.hash !== address(view, params)) history.replaceState(null, "", address(view, params));
}

/** Calls `act` whenever somebody goes to another address. */
export function onChange(act) {
    addEventListener("hashchange", act);
}
