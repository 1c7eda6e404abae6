// Building blocks of the page. Data becomes text nodes and attributes, never markup.

const SVG = "http://www.w3.org/2000/svg";

/** Properties that are set as such; everything else of `props` is an attribute. */
const PROPERTIES = new Set(["value", "checked", "disabled", "hidden", "open", "selected", "readOnly", "indeterminate"]);

/** An element of HTML. `props`: `on` holds listeners by event, `style` custom properties; null and false are left out. */
export function h(tag, props, ...children) {
    return fill(document.createElement(tag), props, children);
}

/** An element of SVG. */
export function svg(tag, props, ...children) {
    return fill(document.createElementNS(SVG, tag), props, children);
}

function fill(element, props, children) {
    for (const [name, value] of Object.entries(props ?? {})) {
        if (value === null || value === undefined || value === false) continue;
        if (name === "on") {
            for (const [event, listener] of Object.entries(value)) element.addEventListener(event, listener);
        } else if (name === "style") {
            for (const [property, text] of Object.entries(value)) element.style.setProperty(property, text);
        } else if (PROPERTIES.has(name)) {
            element[name] = value;
        } else {
            element.setAttribute(name, value === true ? "" : value);
        }
    }
    element.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
    return element;
}

/** Replaces what `element` holds. */
export function show(element, ...children) {
    element.replaceChildren(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
    return element;
}

/** A name that may break behind its dots and dashes, and nowhere else if it can. */
export function breakable(name) {
    return name.split(/(?<=[.\-])/).map((part, place) => (place > 0 ? [document.createElement("wbr"), part] : part));
}

let last = 0;

/** An id that no other element of the page has. */
export function unique(stem) {
    last += 1;
    return `${stem}-${last}`;
}

/** Lets a screen reader say `text` when it has a moment. */
export function announce(text) {
    const region = document.getElementById("live");
    if (region.textContent === text) region.textContent = "";
    // A change in a later frame is noticed even right after the region was emptied.
    requestAnimationFrame(() => {
        region.textContent = text;
    });
}

/** Calls `act` once, `wait` milliseconds after the last call. */
export function debounce(act, wait) {
    let timer = 0;
    return (...args) => {
        clearTimeout(timer);
        timer = setTimeout(() => act(...args), wait);
    };
}

/** Resolves after `wait` milliseconds. */
export function pause(wait) {
    return new Promise((resolve) => setTimeout(resolve, wait));
}
