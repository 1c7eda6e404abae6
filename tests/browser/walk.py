"""Walks over the planner's page in a real browser and checks what a planner sees. Started by tests/browser/run."""

import argparse
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

from playwright.sync_api import expect, sync_playwright

import everybody
import journey

# How long a step waits for something to appear, in milliseconds.
PATIENCE = 10_000

# How long the demo may take to load the samples and listen, in seconds.
START = 60

# Reports what the page's own policy stopped.
TATTLE = "document.addEventListener('securitypolicyviolation', e => console.error(`policy: ${e.violatedDirective} ${e.blockedURI}`))"


class Demo:
    """The demo server, on a port of its own."""

    def __init__(self, engine):
        free = {name: value for name, value in os.environ.items() if not name.startswith("USHER_")}
        command = [engine, "demo", "--listen", "127.0.0.1:0"]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=free)
        until = time.monotonic() + START
        for line in self.process.stdout:
            found = re.search(r"listening on (http://\S+?);", line)
            if found:
                self.url = found.group(1)
                return
            if time.monotonic() > until:
                break
        self.stop()
        raise SystemExit("the demo does not listen")

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()


class Walk:
    """The browser, the server's address, and what was found so far."""

    def __init__(self, browser, url, pictures):
        self.browser, self.url, self.pictures = browser, url, pictures
        self.passed, self.failed, self.noise = 0, 0, []
        self.page = self.open(locale="en-GB", color_scheme="light")

    def open(self, width=1280, height=900, **how):
        """A page of a fresh browser; whatever it complains about is kept."""
        context = self.browser.new_context(viewport={"width": width, "height": height}, **how)
        context.set_default_timeout(PATIENCE)
        context.add_init_script(TATTLE)
        page = context.new_page()
        page.on("console", lambda message: self.heard(message))
        page.on("pageerror", lambda error: self.noise.append(f"error: {error}"))
        return page

    def heard(self, message):
        # The browser itself reports answers of 4xx and 5xx; the steps that ask for them check what the page makes of it.
        if message.type in ("error", "warning") and not message.text.startswith("Failed to load resource"):
            self.noise.append(f"{message.type}: {message.text}")

    def go(self, where, page=None):
        """Opens a view as from a link, and waits until it is drawn."""
        page = page or self.page
        # From elsewhere, so that the page is loaded anew though only the part behind `#` changes.
        page.goto("about:blank")
        page.goto(f"{self.url}/{where}")
        page.locator(".content > *").first.wait_for()
        self.settled(page)

    def settled(self, page=None):
        """Waits until nothing is on its way. (The page's policy forbids to evaluate conditions in it.)"""
        expect((page or self.page).locator(".loading")).to_have_count(0, timeout=PATIENCE)

    def told(self, text):
        """Waits until the view says it."""
        self.page.locator("main").get_by_text(text).first.wait_for()

    def picture(self, name, page=None):
        (page or self.page).screenshot(path=self.pictures / f"{name}.png", full_page=True)

    def check(self, step):
        """Runs one step; a failed one does not keep the others from running."""
        name = step.__name__.replace("_", " ")
        began = time.monotonic()
        try:
            step(self)
        except Exception as error:  # Whatever a step trips over is a failure of that step
            self.failed += 1
            where = error.__traceback__
            while where.tb_next and "tests/browser" in where.tb_next.tb_frame.f_code.co_filename:
                where = where.tb_next
            print(f"FAILED {name} ({Path(where.tb_frame.f_code.co_filename).name}:{where.tb_lineno}): {error}", flush=True)
            self.picture(f"failed-{step.__name__}")
        else:
            self.passed += 1
            print(f"    ok {name} ({time.monotonic() - began:.1f} s)", flush=True)


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--chromium", required=True)
    arguments.add_argument("--engine", required=True)
    arguments.add_argument("--pictures", required=True, type=Path)
    arguments.add_argument("--url")
    given = arguments.parse_args()
    given.pictures.mkdir(parents=True, exist_ok=True)
    for old in given.pictures.glob("*.png"):
        old.unlink()
    demo = None if given.url else Demo(given.engine)
    try:
        with sync_playwright() as tool:
            # Root, as in a container, has no sandbox; nothing but our own page is opened.
            options = ["--no-sandbox"] if os.getuid() == 0 else []
            browser = tool.chromium.launch(executable_path=given.chromium, args=options)
            walk = Walk(browser, given.url or demo.url, given.pictures)
            for step in [*journey.STEPS, *everybody.STEPS]:
                walk.check(step)
            browser.close()
    finally:
        if demo:
            demo.stop()
    print(f"test result: {walk.passed} passed, {walk.failed} failed")
    return 1 if walk.failed else 0


if __name__ == "__main__":
    sys.exit(main())
