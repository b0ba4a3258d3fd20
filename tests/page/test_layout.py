"""What stands below something that comes or goes stays where it is, in Debian's Chromium."""

from __future__ import annotations

from typing import Any

from .browsing import noon, opened, shows
from .world import Daemon, PageProcess, emotion, status, until

PHONE = {"width": 390, "height": 844}


def height(tab: Any, part: str) -> int:
    return int(tab.evaluate(f"document.querySelector('{part}').offsetHeight"))


def test_a_day_that_is_read_moves_nothing(browser: Any, page: PageProcess, daemon: Daemon) -> None:
    """Nor does one without data."""
    with opened(browser, page, "#past", timezone_id=noon()) as tab:
        shows(tab, "Mostly", lambda: daemon.tell(status(), emotion("happy", segment=830)))
        until(lambda: tab.locator(".summary .track").count() == 4, "the daemon's labels")
        before = height(tab, ".summary")
        asked: list[Any] = []
        tab.route("**/api/timeline*", lambda route: asked.append(route))
        tab.click("[aria-label=Back]")
        until(lambda: tab.inner_text(".summary .label") == "…", "a day that is being read")
        assert height(tab, ".summary") == before
        for route in asked:
            route.continue_()
        tab.unroute("**/api/timeline*")
        tab.fill("input[type=date]", "2024-05-15")
        shows(tab, "No data for this day")
        assert height(tab, ".summary") == before


def test_a_silence_of_two_minutes_moves_nothing(
    browser: Any, page: PageProcess, daemon: Daemon
) -> None:
    forget = """() => {
        window.edgeser.state.streams.get('mic').points.length = 0;
        window.edgeser.changed();
    }"""
    with opened(browser, page, size=PHONE) as tab:
        told = emotion("happy", segment=840, mood=(0.5, 0.5))
        shows(tab, "excited", lambda: daemon.tell(status(), told))
        assert tab.locator(".plane .point").count()
        empty = lambda: tab.evaluate(forget) or not tab.locator(".plane .point").count()  # noqa: E731
        until(empty, "nothing in the last two minutes")
        assert tab.locator(".plane").count()


def test_on_a_phone_a_connection_that_is_made_moves_nothing(
    browser: Any, page: PageProcess, daemon: Daemon
) -> None:
    connecting = "window.edgeser.state.connected = null; window.edgeser.changed()"
    row = "e => [e.innerText, e.parentElement.offsetHeight]"
    with opened(browser, page, size=PHONE) as tab:
        heights = {}

        def is_seen(word: str) -> bool:
            daemon.tell(status())
            text, heights[text] = tab.locator(".top .chip").evaluate(row)
            return bool(text == word)

        until(lambda: is_seen("Listening"), "a status")
        tab.evaluate(connecting)
        until(lambda: is_seen("Connecting"), "a new connection")
        assert heights["Connecting"] == heights["Listening"]
