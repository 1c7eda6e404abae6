// What a page must keep so that everybody can use it; gives a list of faults in words. Run in the page by walk.py.
() => {
    const faults = [];
    const label = (element) => `${element.tagName.toLowerCase()}${element.id ? `#${element.id}` : ""} “${(element.textContent ?? "").trim().slice(0, 40)}”`;
    const seen = (element) => element.checkVisibility({ visibilityProperty: true, opacityProperty: true }) && !element.closest("[inert], [aria-hidden=true]");

    // Every control has a name, and one that holds what is written on it.
    const named = (element) => {
        const by = (element.getAttribute("aria-labelledby") ?? "").split(/\s+/).filter(Boolean);
        const labels = by.map((id) => document.getElementById(id)?.textContent ?? "").join(" ");
        const own = [...(element.labels ?? [])].map((one) => one.textContent).join(" ");
        const written = ["INPUT", "SELECT", "TEXTAREA"].includes(element.tagName) ? "" : element.textContent;
        return (labels || element.getAttribute("aria-label") || own || written || "").trim();
    };
    const controls = [...document.querySelectorAll("a[href], button, input, select, textarea, summary, [role=img], [role=region], [role=listbox], dialog")];
    for (const control of controls.filter(seen)) {
        if (named(control) === "") faults.push(`no name: ${label(control)}`);
        const said = control.getAttribute("aria-label");
        const written = [...control.childNodes].filter((node) => node.nodeType === Node.TEXT_NODE).map((node) => node.data).join("").trim();
        if (control.matches("a, button") && said && written && !said.toLowerCase().includes(written.toLowerCase())) faults.push(`its name does not hold its text: ${label(control)}`);
        const box = control.getBoundingClientRect();
        const inline = control.matches("a") && getComputedStyle(control).display === "inline";
        if (control.matches("a, button, input:not([type=radio]), select, summary") && !inline && Math.min(box.width, box.height) < 24) faults.push(`smaller than a finger: ${label(control)}`);
    }

    // Headings go down a step at a time; there is one first of all.
    const levels = [...document.querySelectorAll("h1, h2, h3, h4")].filter(seen).map((heading) => Number(heading.tagName[1]));
    if (levels.filter((level) => level === 1).length !== 1 || levels[0] !== 1) faults.push(`headings: ${levels}`);
    if (levels.some((level, place) => level > (levels[place - 1] ?? 0) + 1)) faults.push(`headings leave a level out: ${levels}`);

    // Ids are unique, references lead somewhere.
    const ids = [...document.querySelectorAll("[id]")].map((element) => element.id);
    for (const id of ids.filter((one, place) => ids.indexOf(one) !== place)) faults.push(`two elements have the id ${id}`);
    for (const name of ["for", "aria-labelledby", "aria-describedby", "aria-controls", "aria-activedescendant"]) {
        for (const element of document.querySelectorAll(`[${name}]`)) {
            const lost = element.getAttribute(name).split(/\s+/).filter((id) => !document.getElementById(id));
            if (lost.length > 0) faults.push(`${name} leads nowhere: ${label(element)}`);
        }
    }
    for (const name of ["header", "nav", "main", "footer"]) if (document.querySelectorAll(`body > ${name}, body > header > .inner > ${name}`).length !== 1) faults.push(`landmark ${name}`);
    if (document.querySelectorAll("nav [aria-current=page]").length !== 1) faults.push("the view is not marked in the navigation");
    if (!document.documentElement.lang) faults.push("no language");

    // Letters stand out from what is behind them: 4.5, large ones 3.
    const canvas = Object.assign(document.createElement("canvas"), { width: 1, height: 1 });
    const pen = canvas.getContext("2d", { willReadFrequently: true });
    const paint = (colours) => {
        pen.clearRect(0, 0, 1, 1);
        for (const colour of colours) {
            pen.fillStyle = colour;
            pen.fillRect(0, 0, 1, 1);
        }
        return [...pen.getImageData(0, 0, 1, 1).data];
    };
    const luminance = ([red, green, blue]) => {
        const [r, g, b] = [red, green, blue].map((value) => (value / 255 <= 0.04045 ? value / 255 / 12.92 : ((value / 255 + 0.055) / 1.055) ** 2.4));
        return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    const behind = (element) => {
        const colours = [];
        for (let at = element; at; at = at.parentElement) {
            const shape = at.tagName === "g" ? at.querySelector("rect") : null;
            colours.unshift(shape ? getComputedStyle(shape).fill : getComputedStyle(at).backgroundColor);
        }
        return colours.filter((colour) => colour !== "none" && !colour.startsWith("url"));
    };
    const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT, (node) => (node.data.trim() ? NodeFilter.FILTER_ACCEPT : NodeFilter.FILTER_REJECT));
    for (let node = texts.nextNode(); node; node = texts.nextNode()) {
        const element = node.parentElement;
        if (!seen(element) || element.closest("title, style, option, .unseen, :disabled, .skip")) continue;
        const style = getComputedStyle(element);
        const ground = behind(element);
        const colour = element.closest("svg") ? style.fill : style.color;
        const [one, other] = [luminance(paint(ground)), luminance(paint([...ground, colour]))].sort((a, b) => b - a);
        const contrast = (one + 0.05) / (other + 0.05);
        const large = parseFloat(style.fontSize) >= 24 || (parseFloat(style.fontSize) >= 18.66 && Number(style.fontWeight) >= 700);
        if (contrast < (large ? 3 : 4.5)) faults.push(`contrast ${contrast.toFixed(2)}: ${label(element)}`);
    }
    return [...new Set(faults)];
}
