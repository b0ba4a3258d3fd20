"""More streams than there is room for as cards: a row for each, in Debian's Chromium."""

from __future__ import annotations

import re
from typing import Any

from .browsing import LISTEN_TO_WHAT_IS_SAID, WIDER, opened, shows
from .world import Daemon, PageProcess, emotion, fault, level, status, until

ROOMS = tuple(f"room {number}" for number in range(1, 12))
DEAD = "room 11"

LABEL_IS_DRAWN = """(canvas) => {
    const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
    const seen = new Set();
    for (let i = 0; i < data.length; i += 4) seen.add(`rgb(${data[i]}, ${data[i + 1]}, ${data[i + 2]})`);
    return seen.has(getComputedStyle(canvas.closest('.row').querySelector('.name i')).backgroundColor);
}"""  # noqa: E501
EDGES = """(part) => [...document.querySelectorAll(`.row:not(.head) ${part}`)]
    .map((e) => e.getBoundingClientRect()).map((b) => `${b.left} ${b.right}`)"""


def beat(daemon: Daemon, dead: str = "") -> None:
    """What every stream says each second."""
    for room in ROOMS:
        if room == dead:
            daemon.tell(status("no_audio", stream=room, frame_age_s=9.0, level_dbfs=None))
        else:
            daemon.tell(status(stream=room), level(-40.0, talking=False, stream=room))


def names(tab: Any) -> list[str]:
    named: list[str] = tab.locator(".row button").all_inner_texts()
    return [name for name in named if name in ROOMS]


def test_many_streams_are_rows_and_each_opens_its_card(
    browser: Any, page: PageProcess, daemon: Daemon
) -> None:
    with opened(browser, page) as tab:
        daemon.tell(*(emotion("happy", stream=room, kind="final", end=2.0) for room in ROOMS))
        until(lambda: beat(daemon) or names(tab) == list(ROOMS), "a row for each, by number")
        shows(tab, "−40 dBFS", lambda: beat(daemon))
        assert "80 %" in tab.locator(".row", has_text="room 2").inner_text()
        read = tab.locator(".row", has=tab.locator("text='room 2'")).aria_snapshot()
        for part in ('button "room 2"', "mood happy", "score 80 %", "level −40 dBFS"):
            assert part in read, read  # the heading is not read with the cells
        assert tab.locator("article, .plot").count() == 0  # what costs is drawn when it is wanted
        row = tab.locator(".row button", has_text="room 2")
        assert row.get_attribute("aria-expanded") == "false"
        row.focus()
        tab.keyboard.press("Enter")
        card = tab.locator("article")
        until(lambda: card.count() == 1, "the card")
        assert card.get_attribute("aria-label") == "Stream room 2"
        assert row.get_attribute("aria-expanded") == "true"
        card.locator("text=lines").click()  # the row's button does not lie over it
        tab.keyboard.press("Shift+Tab")
        row.press("Space")
        until(lambda: card.count() == 0, "closed")


def test_the_health_of_many_is_rows_and_each_opens_to_all_that_is_known(
    browser: Any, page: PageProcess, daemon: Daemon
) -> None:
    def beaten() -> None:
        daemon.tell(*(status(stream=room, dropped=3 * (room == "room 2")) for room in ROOMS))

    with opened(browser, page, "#health") as tab:
        until(lambda: beaten() or names(tab) == list(ROOMS), "a row for each")
        noted = tab.locator(".overview")
        until(lambda: beaten() or "11 streams, none in trouble" in noted.inner_text(), "no other")
        row = tab.locator(".row", has=tab.locator("text='room 2'"))
        until(lambda: beaten() or row.locator(".bad").count() == 1, "what is not as it should be")
        read = row.aria_snapshot()
        for part in ('button "room 2"', "dropped windows 3", "lost sound none", "faults 0"):
            assert part in read, read
        button = row.locator("button")
        button.focus()
        tab.keyboard.press("Enter")
        shows(tab, "Partials", beaten)
        assert re.search(r"Segments\s+212", tab.locator(".opened").inner_text())
        assert "Nobody speaks." in tab.locator(".opened").inner_text()  # but somebody has
        assert button.get_attribute("aria-expanded") == "true"
        for width in (320, 390, 834, 1000, 1400, 2560):
            tab.set_viewport_size({"width": width, "height": 900})
            assert tab.evaluate(WIDER) <= 0, width
            if width < 900:
                assert row.locator(".cells").inner_text() == "dropped windows 3", width
                continue
            for n in range(1, 7):
                assert len(set(tab.evaluate(EDGES, f".cells p:nth-child({n})"))) == 1, (width, n)
        tab.click("text=Cards")
        tab.click("nav >> text=Now")
        until(
            lambda: beaten() or tab.locator("article").count() > 10, "the choice counts there, too"
        )


def test_a_row_in_trouble_is_the_first_and_says_why(
    browser: Any, page: PageProcess, daemon: Daemon
) -> None:
    with opened(browser, page) as tab:
        until(lambda: beat(daemon) or names(tab) == list(ROOMS), "all is well")
        daemon.tell(fault("nothing came for 2.0 s", stream=DEAD))
        shows(tab, "No sound arrives: 1 of", lambda: beat(daemon, DEAD))
        first = tab.locator(".row:not(.head)").first
        assert "No sound arrives" in first.inner_text()
        assert "nothing came for 2.0 s" in first.inner_text()
        tab.click(".top .chip")
        until(lambda: tab.evaluate("document.activeElement.innerText") == DEAD, "it is led to")
        daemon.stop()
        shows(tab, "Nothing has come from")
        assert "11 streams, not heard" in tab.inner_text(".overview")
        assert tab.inner_text("main").count("The daemon has gone") == 1  # not once for each row
        daemon.again()
        until(lambda: beat(daemon) or names(tab) == list(ROOMS), "all is well again")


def test_of_many_streams_a_screen_reader_is_told_of_trouble_alone(
    browser: Any, page: PageProcess, daemon: Daemon
) -> None:
    def spoken(dead: str = "") -> str:
        beat(daemon, dead)
        return str(tab.evaluate("window.spoken.join()"))

    with opened(browser, page, script=LISTEN_TO_WHAT_IS_SAID) as tab:
        until(lambda: beat(daemon) or names(tab) == list(ROOMS), "rows")
        daemon.tell(*(emotion("angry", stream=room, segment=9, kind="final") for room in ROOMS))
        angry = tab.locator(".row .name", has_text="angry")
        until(lambda: beat(daemon) or angry.count() == len(ROOMS), "the new mood")
        until(lambda: f"{DEAD}: No sound arrives" in spoken(DEAD), "the trouble")
        until(lambda: f"{DEAD}: Listening" in spoken(), "its end")
        assert "angry" not in spoken()


def test_cards_or_table_is_remembered(browser: Any, page: PageProcess, daemon: Daemon) -> None:
    with opened(browser, page) as tab:
        until(lambda: beat(daemon) or names(tab) == list(ROOMS), "rows")
        for chosen, shown in (("Cards", "article"), ("Table", ".row button")):
            tab.click(f"text={chosen}")
            tab.reload()
            until(lambda shown=shown: beat(daemon) or tab.locator(shown).count() > 10, chosen)
            assert tab.inner_text(".overview [aria-pressed=true]") == chosen


def test_the_last_minutes_of_a_row_are_drawn_and_said(
    browser: Any, page: PageProcess, daemon: Daemon
) -> None:
    told = emotion("sad", stream=ROOMS[0], segment=2, kind="final", end=40.0)
    with opened(browser, page) as tab:
        until(lambda: beat(daemon) or names(tab) == list(ROOMS), "rows")
        minutes = tab.locator(".row", has=tab.locator(f"text='{ROOMS[0]}'")).locator("canvas")
        daemon.tell(told)
        said = lambda: str(minutes.get_attribute("aria-label"))  # noqa: E731
        until(lambda: beat(daemon) or "s of speech, mostly sad" in said(), "what was said")
        until(lambda: minutes.evaluate(LABEL_IS_DRAWN), "its colour")


def test_columns_are_in_line(browser: Any, page: PageProcess, daemon: Daemon) -> None:
    with opened(browser, page) as tab:
        daemon.tell(emotion("happy", stream=ROOMS[0]), fault(stream=DEAD))
        shows(tab, "No sound arrives: 1 of", lambda: beat(daemon, DEAD))
        for width in (320, 390, 834, 1000, 1400, 2560):
            tab.set_viewport_size({"width": width, "height": 900})
            assert tab.evaluate(WIDER) <= 0, width
            for part in ("canvas", ".dbfs", ".track"):
                assert len(set(tab.evaluate(EDGES, part))) == 1, (width, part)
