// What the browser keeps between two visits: the language and the colours, nothing about visitors or audiences.

const PREFIX = "usher.";

/** What was remembered under `name`; null when nothing was, or when the browser keeps nothing. */
export function recall(name) {
    try {
        return localStorage.getItem(PREFIX + name);
    } catch {
        return null;
    }
}

/** Remembers `value` under `name` where the browser allows it. */
export function remember(name, value) {
    try {
        localStorage.setItem(PREFIX + name, value);
    } catch {
        // A browser that keeps nothing asks again the next time.
    }
}
