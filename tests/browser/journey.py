"""What a planner does: from segments to an audience, its overlaps, people like them, and who is in it."""

import csv
import re
from pathlib import Path

SAMPLES = Path(__file__).resolve().parents[2] / "data-samples"

# The question of the house: who might become a spectator.
QUESTION = "interest.theatre and interest.ticketing and not crm.spectator"

# How long a large audience may take to be published, in milliseconds.
PUBLISHED = 30_000

# Ids that are tried until one is in the audience.
TRIED = 1000


def words(size):
    """A disclosed size as the page tells it in English."""
    if "below" in size:
        return f"fewer than {size['below']:,} people"
    return f"about {size['about']:,} people"


def ask(walk, path, body=None):
    """The server's own answer."""
    request = walk.page.request
    reply = request.get(walk.url + path) if body is None else request.post(walk.url + path, data=body)
    assert reply.ok, f"{path}: {reply.status} {reply.text()}"
    return reply.json()


def pick(page, label, name):
    """Types into a field that finds segments, and takes the line of that name."""
    field = page.get_by_role("combobox", name=label)
    field.fill(name)
    page.get_by_role("option").filter(has=page.get_by_text(name, exact=True)).first.click()


def the_page_is_served_with_its_policy(walk):
    reply = walk.page.request.get(walk.url + "/")
    policy = reply.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self'"), policy
    assert reply.headers["x-content-type-options"] == "nosniff"
    again = walk.page.request.get(walk.url + "/page/main.js")
    assert again.headers["content-type"].startswith("text/javascript"), again.headers


def segments_are_found_and_added_by_a_click(walk):
    page = walk.page
    walk.go("")
    known = ask(walk, "/v1/segments")["segments"]
    assert page.locator(".lines li").count() == len(known)
    page.get_by_label("Search").fill("theatre citymag")
    page.locator(".lines li").nth(2).wait_for(state="detached")
    row = page.locator(".lines li").filter(has=page.get_by_text("interest.theatre", exact=True))
    size = next(one["visitors"] for one in known if one["name"] == "interest.theatre")
    assert words(size) in row.inner_text(), row.inner_text()
    assert "citymag" in row.inner_text() and "30 days" in row.inner_text()
    row.get_by_role("button").click()
    page.get_by_label("Search").fill("")
    page.get_by_role("button", name="Add interest.ticketing to the audience").click()
    walk.told("Your audience has 2 choices")
    page.locator(".tray").get_by_text(re.compile(r"about [\d,]+ people")).wait_for()
    walk.picture("segments")


def an_audience_is_built_by_clicking(walk):
    page = walk.page
    page.get_by_role("link", name="Go on building").click()
    page.get_by_role("heading", name="Build an audience").wait_for()
    pick(page, "Add a segment to “Must not have”", "crm.spectator")
    text = page.get_by_label("The same as text")
    assert text.input_value() == QUESTION, text.input_value()
    expected = words(ask(walk, "/v1/size", {"expression": QUESTION})["visitors"])
    page.locator(".answer .big").filter(has_text=expected).wait_for()
    assert "e=interest.theatre" in page.url, page.url
    page.locator("#live").filter(has_text="people").wait_for(state="attached")


def choices_take_options(walk):
    page = walk.page
    for name in ["interest.opera", "interest.dance", "interest.cinema"]:
        pick(page, "Add a segment to “At least one of”", name)
    page.get_by_label("In how many?").select_option("2")
    page.locator("summary").filter(has_text="interest.theatre").click()
    page.get_by_label("Seen within the last").first.fill("7")
    page.get_by_label("Seen within the last").first.press("Enter")
    page.locator(".when").wait_for()
    text = page.get_by_label("The same as text").input_value()
    expected = (
        "interest.theatre within 7 days and interest.ticketing and "
        "at least 2 of (interest.opera, interest.dance, interest.cinema) and not crm.spectator"
    )
    assert text == expected, text
    shown = words(ask(walk, "/v1/size", {"expression": expected})["visitors"])
    page.locator(".answer .big").filter(has_text=shown).wait_for()
    walk.picture("audience")


def mistakes_are_shown_where_they_are(walk):
    page = walk.page
    text = page.get_by_label("The same as text")
    text.fill("interest.theatre and and x")
    page.locator(".mistake .notice").wait_for()
    assert page.locator(".pointer mark").inner_text() == "a"
    assert page.locator(".pointer").inner_text().index("and x") == 21
    assert page.get_by_role("button", name="Save the audience").is_disabled()
    page.get_by_role("button", name="Go to that place").click()
    assert text.evaluate("box => box.selectionStart") == 21
    text.fill("interest.theatr or interest.opera")
    walk.told("No segment is called interest.theatr")
    page.get_by_role("button", name="Use interest.theatre").click()
    assert text.input_value() == "interest.theatre or interest.opera"
    page.locator(".chip").filter(has_text="interest.opera").wait_for()
    text.fill("interest.theatre or interest.opera and not crm.*")
    walk.told("You wrote more than the groups can show")
    page.get_by_role("button", name="Start again with groups").click()
    assert text.input_value() == ""


def an_audience_is_saved_listed_and_replaced(walk):
    page = walk.page
    walk.go("#audience?e=" + QUESTION.replace(" ", "%20"))
    page.get_by_label("Name").fill("autumn")
    page.get_by_role("button", name="Save the audience").click()
    walk.told("Saved as autumn")
    card = page.locator(".cards .card").filter(has_text="autumn")
    card.wait_for()
    saved = ask(walk, "/v1/audiences/autumn")
    assert saved["expression"] == QUESTION, saved
    assert words(saved["visitors"]) in card.inner_text(), card.inner_text()
    page.get_by_role("button", name="Save the audience").click()
    walk.told("autumn is replaced by this")
    card = page.locator(".cards .card").filter(has_text="autumn")
    card.locator("summary").click()
    card.locator(".curve > *").first.wait_for()
    walk.settled()
    walk.picture("saved")


def overlaps_are_drawn_beside_their_table(walk):
    page = walk.page
    page.get_by_role("link", name="Compare autumn with others").click()
    walk.told("Choose one more")
    for name in ["interest.theatre", "interest.opera", "crm.spectator"]:
        pick(page, "Add a segment or an audience", name)
    page.locator(".heat .field").nth(15).wait_for()
    assert page.locator(".heat .field").count() == 16
    rows = page.locator(".frame tbody tr")
    assert rows.count() == 6
    answer = ask(walk, "/v1/overlap", {"segments": ["interest.theatre", "interest.opera"]})
    shared = answer["matrix"][0][1]
    row = rows.filter(has=page.get_by_role("rowheader").filter(has_text="interest.theatre").filter(has_text="interest.opera"))
    assert words(shared["visitors"]) in row.inner_text(), row.inner_text()
    assert f"{shared['share']:.0%} of interest.theatre" in row.inner_text(), row.inner_text()
    walk.picture("overlap")


def people_like_the_seed_are_found(walk):
    page = walk.page
    walk.go("#lookalike")
    pick(page, "Add a segment or an audience to the seed", "crm.spectator")
    pick(page, "Add a segment that must not play a part", "crm.*")
    page.get_by_label("Simple").check()
    page.get_by_label("Name of the new audience").fill("like-spectators")
    page.get_by_role("button", name="Find people like them").click()
    page.get_by_role("heading", name="like-spectators").wait_for()
    card = ask(walk, "/v1/lookalikes/like-spectators")
    assert page.locator(".reach tbody tr").count() == len(card["curve"])
    first = page.locator(".bars table").first.locator("tbody tr").first
    assert first.locator("th").inner_text() == card["explanation"]["over"][0]["segment"]
    assert page.get_by_text("crm.*").count() > 0
    for warning in card["warnings"]:
        walk.told(warning)


def the_reach_is_moved_and_told_in_words(walk):
    page = walk.page
    curve = ask(walk, "/v1/lookalikes/like-spectators")["curve"]
    slider = page.get_by_label("Reach", exact=True)
    slider.focus()
    slider.press("Home")
    small = page.get_by_role("button", name=re.compile("Create the audience at"))
    assert page.locator(".words .big").inner_text() == words(curve[0]["visitors"])
    assert small.is_disabled() and page.get_by_text("An audience needs at least 1,000 people").is_visible()
    slider.press("ArrowRight")
    assert page.locator(".words .big").inner_text() == words(curve[1]["visitors"])
    assert f"{curve[1]['reach'] * 100:g}%" in slider.get_attribute("aria-valuetext")
    box = page.locator(".reach-curve").bounding_box()
    page.mouse.move(box["x"] + 0.3 * box["width"], box["y"] + 0.5 * box["height"])
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"], box["y"] + 0.5 * box["height"], steps=4)
    page.mouse.up()
    assert page.locator(".words .big").inner_text() == words(curve[-1]["visitors"])
    assert f"{curve[-1]['recall']:.0%}" in page.locator(".words").inner_text(), page.locator(".words").inner_text()


def the_audience_is_created_at_the_reach(walk):
    page = walk.page
    create = page.get_by_role("button", name=re.compile("Create the audience at"))
    create.click()
    page.locator("main").get_by_text("The audience is there").wait_for(timeout=PUBLISHED)
    walk.told("It is the first of this name")
    walk.told("lookalike.like-spectators.1")
    page.get_by_label("Reach", exact=True).press("ArrowLeft")
    create.click()
    page.locator("main").get_by_text("Compared with the one before").wait_for(timeout=PUBLISHED)
    walk.told("lookalike.like-spectators.2")
    walk.picture("lookalike")
    walk.go("#lookalike?name=like-spectators")
    walk.told("there is an audience at a reach of")


def a_visitor_who_is_in_it_is_looked_up(walk):
    page = walk.page
    with open(SAMPLES / "citymag.csv", newline="", encoding="utf-8") as file:
        ids = list(dict.fromkeys(row["visitor"] for row in csv.DictReader(file)))[:TRIED]
    results = ask(walk, "/v1/visitors/segments", {"visitors": ids})["results"]
    wanted = {"autumn", "like-spectators"}
    found = next((one for one, answer in zip(ids, results) if wanted <= set(answer["audiences"])), None)
    assert found, "nobody is in both audiences"
    walk.go("#visitor")
    page.get_by_label("Visitor id").fill(found)
    page.get_by_role("button", name="Look up").click()
    page.get_by_role("heading", name="Audiences").wait_for()
    told = page.locator(".result").inner_text()
    assert all(name in told for name in ["autumn", "like-spectators", "interest.theatre", "from citymag"]), told
    assert found not in page.url
    walk.picture("visitor")
    walk.page.request.put(f"{walk.url}/v1/visitors/{found}/opt-out")
    page.get_by_role("button", name="Look up").click()
    walk.told("This visitor has opted out")
    walk.page.request.delete(f"{walk.url}/v1/visitors/{found}/opt-out")
    page.get_by_label("Visitor id").fill("nobody-has-this-id")
    page.get_by_label("Visitor id").press("Enter")
    walk.told("Nothing is known of this visitor")


def the_charter_can_be_read(walk):
    page = walk.page
    walk.go("#charter")
    told = page.locator("main").inner_text()
    for text in ["Theatre du Parc", "dpo@theatre.example", "health and religion", "below 100 people", "citymag", "consent", "30 days", "opt-out", "24 hours"]:
        assert text in told, text
    assert page.locator(".cards .card").count() == len(ask(walk, "/v1/charter")["sources"])
    walk.picture("charter")


def an_audience_is_deleted_only_when_sure(walk):
    page = walk.page
    walk.go("#audience")
    page.get_by_role("button", name="Delete autumn").click()
    page.get_by_role("dialog").wait_for()
    page.keyboard.press("Escape")
    page.get_by_role("dialog").wait_for(state="detached")
    page.get_by_role("button", name="Delete autumn").click()
    page.get_by_role("dialog").get_by_role("button", name="Keep it").click()
    assert page.request.get(walk.url + "/v1/audiences/autumn").ok
    page.get_by_role("button", name="Delete autumn").click()
    page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    page.get_by_role("button", name="Delete autumn").wait_for(state="detached")
    assert page.request.get(walk.url + "/v1/audiences/autumn").status == 404
    page.locator("h2:focus").filter(has_text="Saved audiences").wait_for()


STEPS = [
    the_page_is_served_with_its_policy,
    segments_are_found_and_added_by_a_click,
    an_audience_is_built_by_clicking,
    choices_take_options,
    mistakes_are_shown_where_they_are,
    an_audience_is_saved_listed_and_replaced,
    overlaps_are_drawn_beside_their_table,
    people_like_the_seed_are_found,
    the_reach_is_moved_and_told_in_words,
    the_audience_is_created_at_the_reach,
    a_visitor_who_is_in_it_is_looked_up,
    the_charter_can_be_read,
    an_audience_is_deleted_only_when_sure,
]
