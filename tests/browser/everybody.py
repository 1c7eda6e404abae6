"""That everybody can use the page: in both languages and schemes, on a phone, by keyboard, and when things go wrong."""

import json
import re
from pathlib import Path

AUDIT = (Path(__file__).parent / "audit.js").read_text(encoding="utf-8")

EXPRESSION = "interest.theatre%20and%20(interest.opera%20or%20interest.dance)%20and%20not%20crm.spectator"

# Every view, with something in it.
VIEWS = {
    "segments": "#segments",
    "audience": f"#audience?e={EXPRESSION}",
    "overlap": "#overlap?s=interest.theatre&s=interest.opera&s=crm.spectator&s=crm.patron",
    "lookalike": "#lookalike",
    "card": "#lookalike?name=like-spectators",
    "visitor": "#visitor",
    "charter": "#charter",
}

# More presses of the tab key than any view has controls.
MOST_TABS = 400

# The element that has the focus, and whether one sees that.
FOCUSED = """() => {
    const element = document.activeElement;
    if (element === document.body) return null;
    const style = getComputedStyle(element);
    window.reached ??= new Set();
    const known = window.reached.has(element);
    window.reached.add(element);
    return { known, name: element.outerHTML.slice(0, 120), outline: style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) >= 2 };
}"""

# What the tab key should have come to; of radio buttons only the chosen one.
MISSED = """() => [...document.querySelectorAll('a[href], button, input, select, textarea, summary, [tabindex="0"]')]
    .filter(e => e.checkVisibility({ visibilityProperty: true }) && !e.disabled && !e.closest('[inert]') && !(e.type === 'radio' && !e.checked))
    .filter(e => !window.reached?.has(e)).map(e => e.outerHTML.slice(0, 120))"""


# Heat maps with a figure on every depth of tint, beside the one that is there.
EVERY_SHARE = """async () => {
    const { heat } = await import('/page/chart-heat.js');
    const [sides, maps] = [10, 5];
    const shares = sides * sides * maps - 1;
    const cell = (map, x, y) => ({ visitors: { exact: 1000 }, share: ((map * sides + y) * sides + x) / shares });
    const range = count => [...Array(count).keys()];
    const all = range(maps).map(map => heat(range(sides).map(String), range(sides).map(y => range(sides).map(x => cell(map, x, y)))));
    all.forEach(map => map.querySelector('pattern').remove());
    document.querySelector('.heat').after(...all);
    return document.querySelectorAll('.heat .figure').length;
}"""


def audit(walk, page, tag):
    for name, where in VIEWS.items():
        walk.go(where, page)
        if name == "audience":
            page.locator(".answer .big").filter(has_text="0").wait_for()
        if name == "overlap":
            assert page.evaluate(EVERY_SHARE) > 400
        faults = page.evaluate(AUDIT)
        assert not faults, f"{name}, {tag}: " + "; ".join(faults[:8])
        wide = page.evaluate("document.documentElement.scrollWidth - innerWidth")
        assert wide <= 0, f"{name}, {tag}: {wide} pixels to the side"
        walk.picture(f"{tag}-{name}", page)


def every_view_is_sound_in_light_colours(walk):
    audit(walk, walk.page, "light")


def every_view_is_sound_in_dark_colours(walk):
    page = walk.open(locale="en-GB", color_scheme="dark")
    audit(walk, page, "dark")
    page.context.close()


def every_view_is_sound_on_a_phone_in_french(walk):
    page = walk.open(width=375, height=740, locale="fr-CA", device_scale_factor=2, has_touch=True)
    audit(walk, page, "phone")
    assert page.evaluate("document.documentElement.lang") == "fr"
    page.context.close()


def the_keyboard_reaches_everything(walk):
    page = walk.page
    for name, where in VIEWS.items():
        walk.go(where)
        for press in range(MOST_TABS):
            page.keyboard.press("Tab")
            at = page.evaluate(FOCUSED)
            if at is None or at["known"]:
                break
            assert at["outline"], f"{name}: the focus is not seen on {at['name']}"
        missed = page.evaluate(MISSED)
        assert not missed, f"{name}: {missed}"
    page.keyboard.press("Home")
    walk.go("#charter")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "main", "the first link skips to the content"
    assert page.url.endswith("#charter")
    page.get_by_role("link", name="Overlap").press("Enter")
    page.get_by_role("heading", name="Overlap").wait_for()
    assert page.evaluate("document.activeElement.tagName") == "H1", "a new view takes the focus"


def the_list_of_segments_obeys_the_keyboard(walk):
    page = walk.page
    walk.go("#overlap")
    field = page.get_by_role("combobox")
    field.focus()
    field.press("ArrowDown")
    page.get_by_role("option").first.wait_for()
    field.press_sequentially("opera")
    page.get_by_role("option", selected=True).filter(has_text="opera").wait_for()
    assert field.get_attribute("aria-expanded") == "true"
    chosen = field.get_attribute("aria-activedescendant")
    field.press("ArrowDown")
    assert field.get_attribute("aria-activedescendant") != chosen
    field.press("Escape")
    assert field.get_attribute("aria-expanded") == "false"
    field.press("ArrowDown")
    field.press("ArrowDown")
    field.press("Enter")
    page.locator(".chip").wait_for()


def french_is_a_switch_away_and_is_kept(walk):
    page = walk.page
    walk.go(VIEWS["audience"])
    page.get_by_role("button", name="Français").click()
    page.get_by_role("heading", name="Composer une audience").wait_for()
    assert page.evaluate("document.documentElement.lang") == "fr"
    assert page.get_by_label("La même chose en texte").input_value().startswith("interest.theatre and")
    walk.go("#segments")
    told = page.locator("main").inner_text()
    written = r"environ 1\u202f\d00 personnes \([\d\u202f]+ à 1\u202f\d{3}\)"
    assert re.search(written, told), "numbers as the French write them"
    for name in ["audience", "overlap", "card", "visitor", "charter"]:
        walk.go(VIEWS[name])
        told = page.locator("body").inner_text()
        for english in ["people", "Show ", "Segments are", " of the ", "Look up", "Keep"]:
            assert english not in told.replace("like-spectators", ""), f"{name}: {english}"
    walk.picture("french")
    page.get_by_role("button", name="English").click()
    page.get_by_role("heading", name="Data charter").wait_for()


def failures_are_told_in_words_with_a_way_on(walk):
    page = walk.page
    walk.go("#audience?e=")
    problem = {"type": "urn:usher:problem:busy", "title": "Busy", "status": 503, "detail": "Come back in a second."}
    page.route("**/v1/size", lambda route: route.fulfill(status=503, content_type="application/problem+json", body=json.dumps(problem)))
    page.get_by_label("The same as text").fill("interest.opera")
    walk.told("The server is busy")
    walk.told("Come back in a second.")
    page.unroute("**/v1/size")
    page.route("**/v1/size", lambda route: route.abort())
    page.get_by_role("button", name="Try again").click()
    walk.told("The server does not answer")
    page.unroute("**/v1/size")
    page.get_by_role("button", name="Try again").click()
    page.locator(".answer .big").filter(has_text="people").wait_for()
    page.locator(".mistake > *").first.wait_for(state="detached")
    page.route("**/v1/charter", lambda route: route.abort())
    page.goto("about:blank")
    page.goto(walk.url + "/#charter")
    walk.told("The server does not answer")
    page.unroute("**/v1/charter")
    page.get_by_role("button", name="Try again").click()
    page.get_by_role("heading", name="How to opt out").wait_for()


def an_empty_index_says_what_to_do(walk):
    page = walk.page
    page.route("**/v1/segments", lambda route: route.fulfill(json={"segments": [], "as_of": "2026-11-28T00:00:00Z"}))
    page.goto("about:blank")
    page.goto(walk.url + "/#segments")
    walk.told("There are no segments yet")
    page.unroute("**/v1/segments")


def names_are_text_and_never_markup(walk):
    page = walk.page
    name = '<img src=x onerror="document.title=1">.x'
    line = {"name": name, "source": name, "class": "behavioural", "ttl": "30d", "visitors": {"below": 100}}
    page.route("**/v1/segments", lambda route: route.fulfill(json={"segments": [line], "as_of": "2026-11-28T00:00:00Z"}))
    walk.go("#segments")
    assert page.locator("main img").count() == 0 and name in page.locator("main").inner_text()
    page.get_by_role("button", name="Add").first.click()
    assert "Segments" in page.title()
    page.unroute("**/v1/segments")


def who_wants_no_motion_gets_none(walk):
    page = walk.open(reduced_motion="reduce")
    page.route("**/v1/segments", lambda route: None)
    page.goto(walk.url + "/#segments")
    page.locator(".loading").wait_for()
    assert page.evaluate("document.getAnimations().length") == 0
    page.context.close()


def colours_can_be_chosen(walk):
    page = walk.page
    walk.go("#charter")
    shade = lambda: page.evaluate("getComputedStyle(document.body).backgroundColor")
    light = shade()
    page.get_by_role("button", name="Colours").click()
    page.get_by_role("button", name="Colours").click()
    dark = shade()
    assert light != dark
    page.reload()
    page.get_by_role("heading", name="Data charter").wait_for()
    assert shade() == dark, "the choice is kept"
    page.get_by_role("button", name="Colours").click()
    assert shade() == light


def nothing_was_complained_about(walk):
    assert not walk.noise, "; ".join(walk.noise[:5])


STEPS = [
    every_view_is_sound_in_light_colours,
    every_view_is_sound_in_dark_colours,
    every_view_is_sound_on_a_phone_in_french,
    the_keyboard_reaches_everything,
    the_list_of_segments_obeys_the_keyboard,
    french_is_a_switch_away_and_is_kept,
    failures_are_told_in_words_with_a_way_on,
    an_empty_index_says_what_to_do,
    names_are_text_and_never_markup,
    who_wants_no_motion_gets_none,
    colours_can_be_chosen,
    nothing_was_complained_about,
]
