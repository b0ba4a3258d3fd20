"""The view of the past in Debian's Chromium: that it tells what the journal has, and no more."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from .browsing import noon, opened, shows
from .world import (
    Daemon,
    PageProcess,
    days_of_speech,
    emotion,
    status,
    until,
    write_journal,
)

FRESH_MS = 21_000
"""After so long what may have changed, or failed, is asked again (``static/ask.js``)."""

HEADING = ".step h2"
DAY = "input[type=date]"
MOOD = ".summary .label"
UNANSWERED = "The page's server does not answer"

COLOURS_OF_LANES = """() => {
  const canvas = document.querySelector('.timeline canvas');
  const top = canvas.getBoundingClientRect().top;
  const lanes = [...document.querySelectorAll('.names li:not(.faultname)')].map((lane) => {
    const { y, height } = lane.getBoundingClientRect();
    const middle = Math.round((y + height / 2 - top) * devicePixelRatio);
    const { data } = canvas.getContext('2d').getImageData(0, middle, canvas.width, 1);
    const seen = new Set();
    for (let i = 0; i < data.length; i += 4) seen.add(`rgb(${data[i]}, ${data[i + 1]}, ${data[i + 2]})`);
    return { name: lane.textContent, colour: getComputedStyle(lane.querySelector('i')).backgroundColor, seen };
  });
  return lanes.map(({ name, seen }) => [name, lanes.filter((l) => seen.has(l.colour)).map((l) => l.name)]);
}"""  # noqa: E501
"""Of each lane, its name and those whose colours are drawn in it."""


@pytest.fixture(scope="module")
def daemon(folder: Path) -> Iterator[Daemon]:
    now = time.time()
    recent = [
        (now - 10_200 + 30 * n, emotion("happy", segment=n, kind="final", end=2.0))
        for n in range(1, 331)
    ]
    past = [*days_of_speech(4, now - 14_400, 200), *recent]
    write_journal(folder / "journal.db", sorted(past, key=lambda timed: timed[0]))
    daemon = Daemon(f"ipc://{folder}/events.sock", folder / "journal.db")
    yield daemon
    daemon.stop()


@contextmanager
def looked_at(browser: Any, page: PageProcess, view: str = "#past", **more: Any) -> Iterator[Any]:
    with opened(browser, page, view, **{"timezone_id": noon(), **more}) as tab:
        yield tab


def reads(tab: Any, selector: str, words: str) -> None:
    until(lambda: words in tab.inner_text(selector), f"{words!r} in {tab.inner_text(selector)!r}")


def test_today_and_a_date_are_gone_to_in_a_month_too(browser: Any, page: PageProcess) -> None:
    with looked_at(browser, page) as tab:
        tab.click("text=Month")
        this_month = tab.inner_text(HEADING)
        tab.click("[aria-label=Back]")
        until(lambda: tab.inner_text(HEADING) != this_month, "another month")
        tab.click("text=Today")
        reads(tab, HEADING, this_month)
        tab.fill(DAY, "2024-05-15")
        reads(tab, HEADING, "May 2024")
        tab.click("text=Day")
        reads(tab, HEADING, "15 May 2024")


def test_a_date_can_be_typed(browser: Any, page: PageProcess) -> None:
    with looked_at(browser, page) as tab:
        today = tab.inner_text(HEADING)
        tab.focus(DAY)
        tab.keyboard.type("0505")  # the same for those who write the month first
        for key in "202":
            tab.keyboard.press(key)
            tab.evaluate("window.edgeser.changed()")
            tab.wait_for_timeout(250)  # so that it is drawn while half of it stands there
        assert "May" in tab.inner_text(HEADING)
        assert today[-4:] in tab.inner_text(HEADING)
        tab.keyboard.press("4")
        reads(tab, HEADING, "5 May 2024")
        tab.keyboard.press("Backspace")  # what is no date goes when the field is left
        tab.focus(".grab")
        until(lambda: tab.input_value(DAY) == "2024-05-05", "the day that is shown")


def test_a_date_counts_in_a_browser_that_tells_of_no_change_until_the_field_is_left(
    browser: Any, page: PageProcess
) -> None:
    with looked_at(browser, page) as tab:
        tab.focus(DAY)
        tab.evaluate("document.activeElement.value = '2024-05-15'")  # WebKit types without a word
        tab.focus(".grab")
        reads(tab, HEADING, "15 May 2024")
        assert tab.input_value(DAY) == "2024-05-15"


def test_a_day_that_could_not_be_read_is_not_called_silent(browser: Any, page: PageProcess) -> None:
    with looked_at(browser, page, clock=True) as tab:
        reads(tab, MOOD, "Mostly")
        today = tab.inner_text(HEADING)
        tab.route("**/api/timeline*", lambda route: route.abort())
        tab.click("[aria-label=Back]")
        shows(tab, UNANSWERED)
        assert tab.inner_text(MOOD) == "Not known"
        tab.unroute("**/api/timeline*")
        tab.click("[aria-label=Forward]")
        reads(tab, HEADING, today)
        reads(tab, MOOD, "Mostly")
        assert UNANSWERED not in tab.inner_text("body")
        tab.clock.fast_forward(FRESH_MS)
        tab.click("[aria-label=Back]")
        until(lambda: tab.inner_text(HEADING) != today, "yesterday")
        reads(tab, MOOD, "Mostly")
        assert UNANSWERED not in tab.inner_text("body")


def test_a_journal_that_is_missing_is_said_once(
    browser: Any, daemon: Daemon, tmp_path: Path
) -> None:
    missing = ("--connect", daemon.endpoint, "--journal", str(tmp_path / "none.db"))
    page = PageProcess(*missing, folder=tmp_path)
    try:
        with looked_at(browser, page) as tab:
            with tab.expect_response("**/api/events?*"):
                tab.reload()
            shows(tab, "there is none yet")
            tab.evaluate("new Promise(requestAnimationFrame)")
            assert tab.inner_text("main").count("there is none yet") == 1
    finally:
        page.close()


def test_todays_list_grows_and_survives_a_failure(
    browser: Any, page: PageProcess, daemon: Daemon
) -> None:
    def append(stream: str) -> None:
        daemon.tell(emotion("happy", segment=9, kind="final", end=2.0, stream=stream))
        until(lambda: page.ask(f"/api/events?stream={stream}")["events"], "it is in the journal")

    first = ".found tbody tr:first-child"
    with looked_at(browser, page, clock=True) as tab:
        reads(tab, ".found h3", "events in view")
        append("porch")
        tab.clock.fast_forward(FRESH_MS)
        reads(tab, first, "porch")
        tab.click("text=Earlier")
        until(lambda: tab.locator(".found tbody tr").count() == 200, "more")
        append("attic")
        tab.clock.fast_forward(FRESH_MS)
        reads(tab, first, "attic")
        assert tab.locator(".found tbody tr").count() == 200  # what was asked for stays
        tab.route("**/api/events*", lambda route: route.abort())
        tab.click("text=Earlier")
        reads(tab, ".found", UNANSWERED)
        assert tab.locator(".found tbody tr").count() == 200
        append("cellar")
        tab.unroute("**/api/events*")
        tab.clock.fast_forward(FRESH_MS)
        reads(tab, first, "cellar")
        assert UNANSWERED not in tab.inner_text(".found")


def test_a_list_that_could_not_be_read_at_first_is_asked_for_again(
    browser: Any, page: PageProcess
) -> None:
    with looked_at(browser, page, "", clock=True) as tab:
        for asked in ("events", "bins"):
            tab.route(f"**/api/{asked}*", lambda route: route.abort())
        tab.click("nav >> text=Past")
        reads(tab, ".found", UNANSWERED)
        assert "0 events" not in tab.inner_text(".found")
        tab.unroute("**/api/events*")
        tab.clock.fast_forward(FRESH_MS)
        until(lambda: tab.locator(".found tbody tr").count(), "the list")
        tab.click("text=Month")
        reads(tab, ".month", UNANSWERED)
        tab.unroute("**/api/bins*")
        tab.clock.fast_forward(FRESH_MS)
        until(lambda: tab.locator(".day .amount:not(:empty)").count(), "the calendar")
        assert UNANSWERED not in tab.inner_text(".month")


def test_rows_of_the_day_before_are_no_longer_those_in_view(
    browser: Any, page: PageProcess
) -> None:
    with looked_at(browser, page) as tab:
        busy = tab.locator(".found[aria-busy=true]").count
        until(lambda: tab.locator(".found tbody tr").count() and not busy(), "today's")
        asked: list[Any] = []
        tab.route("**/api/events?*", lambda route: asked.append(route))
        tab.click("[aria-label=Back]")
        until(lambda: busy() and asked, "another day is asked for")
        for route in asked:
            route.continue_()
        tab.unroute("**/api/events?*")
        until(lambda: not busy(), "that day's")


def test_hours_begin_at_the_full_hour_in_kolkata_too(browser: Any, page: PageProcess) -> None:
    with opened(browser, page, "#past", timezone_id="Asia/Kolkata") as tab:
        tab.click("[aria-label=Back]")  # a whole day of speech, whatever the time is
        reads(tab, MOOD, "Mostly")
        busiest = tab.inner_text(".summary dl div:has-text('Busiest hour') dd")
        assert busiest.partition(",")[0].endswith(":00")
        tab.click("text=Hour")
        until(lambda: tab.inner_text(".timeline .readout").count(":00") == 2, "a full hour")


def test_nothing_is_claimed_of_what_a_daemon_heard_that_keeps_no_journal(
    browser: Any, daemon: Daemon, tmp_path: Path
) -> None:
    old = tmp_path / "old.db"
    write_journal(old, [(time.time() - 5 * 86_400, emotion(kind="final"))])
    page = PageProcess("--connect", daemon.endpoint, "--journal", str(old), folder=tmp_path)
    daemon.again()  # nothing of this run is kept yet, though its statuses tell of finals
    try:
        with looked_at(browser, page) as tab:
            heard = "window.edgeser.state.streams.get('mic')?.status"
            until(lambda: daemon.tell(status()) or tab.evaluate(heard), "a status")
            tab.click("[aria-label=Back]")
            beat = lambda: daemon.tell(status())  # noqa: E731
            shows(tab, "No data for this day", beat)
    finally:
        page.close()


def test_nothing_is_claimed_of_days_that_the_journal_does_not_reach(
    browser: Any, page: PageProcess
) -> None:
    unknown = "No data for this day"
    with looked_at(browser, page) as tab:
        for day in ("2024-05-15", "2200-05-15"):
            tab.fill(DAY, day)
            reads(tab, MOOD, unknown)
        tab.click("text=Month")
        days = tab.locator(".day")
        until(lambda: unknown.lower() in str(days.first.get_attribute("aria-label")), "unknown")


def test_of_three_hundred_streams_each_is_its_own(browser: Any, page: PageProcess) -> None:
    shown = """async () => {
        const { Archive, sieve } = await import('/static/archive.js');
        const streams = Array.from({ length: 300 }, (_, n) => `room ${n}`);
        const two = { end_ms: [1000, 2000], length_ms: [500, 500], label: [0, 0] };
        const day = { since: 0, labels: ['sad'], streams, faults: [], ...two };
        Object.assign(day, { stream: [1, 257], confidence: [80, 80] });
        window.fetch = async () => new Response(JSON.stringify(day));
        let archive;
        await new Promise((read) => {
            archive = new Archive(read, () => 0);
            archive.between(0, 1);
        });
        const [data] = archive.between(0, 1);
        const passes = sieve(archive, { labels: [], stream: 'room 1', confidence: 0 });
        return [passes(data, 0), passes(data, 1)];
    }"""
    with looked_at(browser, page) as tab:
        assert tab.evaluate(shown) == [True, False]


def test_today_is_that_of_the_daemon(browser: Any, page: PageProcess, daemon: Daemon) -> None:
    wrong = "{ const now = Date.now; Date.now = () => now() - 400 * 86_400_000; }"
    with looked_at(browser, page, script=wrong) as tab:
        today = tab.evaluate("new Date(Date.now() + 400 * 86_400_000).getDate()")
        beat = lambda: daemon.tell(status())  # noqa: E731
        until(lambda: beat() or f" {today} " in f" {tab.inner_text(HEADING)} ", "today, at once")
        reads(tab, MOOD, "Mostly")
        tab.click("[aria-label=Back]")
        tab.click("text=Today")
        assert f" {today} " in f" {tab.inner_text(HEADING)} "


def test_hour_is_the_present_one_or_the_last_in_which_something_was_said(
    browser: Any, page: PageProcess
) -> None:
    hour = (
        "new Intl.DateTimeFormat('en-GB', {hour: '2-digit', hourCycle: 'h23'}).format(Date.now())"
    )
    with looked_at(browser, page) as tab:
        reads(tab, MOOD, "Mostly")
        tab.click("text=Hour")
        reads(tab, ".timeline .readout", f"{tab.evaluate(hour)}:00")
        tab.click("text=Day")
        tab.click("[aria-label=Back]")
        reads(tab, MOOD, "Mostly")
        last = tab.inner_text(".summary dl div:has-text('First to last') dd")[-5:-3]
        tab.click("text=Hour")
        until(lambda: tab.inner_text(".timeline .readout").startswith(f"{last}:00"), "the last")


def test_a_day_that_was_in_a_month_has_its_last_hour_too(browser: Any, page: PageProcess) -> None:
    readout = ".timeline .readout"
    with looked_at(browser, page) as tab:
        tab.click("[aria-label=Back]")
        reads(tab, MOOD, "Mostly")
        reads(tab, readout, "00:00 – 24:00")
        last = tab.inner_text(".summary dl div:has-text('First to last') dd")[-5:-3]
        day = tab.inner_text(HEADING)
        tab.click("text=Month")
        tab.click("text=Hour")
        until(lambda: tab.inner_text(readout).startswith(f"{last}:00"), "its last hour")
        assert tab.inner_text(HEADING) == day
        tab.click("[aria-label=Back]")
        hour = f"{(int(last) - 1) % 24:02}:00 – {last}:00"
        reads(tab, readout, hour)
        tab.click("text=Month")
        tab.click("text=Hour")
        reads(tab, readout, hour)  # the one that was looked at


def test_a_month_that_was_gone_to_has_its_newest_hour(browser: Any, page: PageProcess) -> None:
    later = "{ const now = Date.now; Date.now = () => now() + 40 * 86_400_000; }"
    newest = page.ask("/api/events?order=newest&topic=emotion.&limit=1")["events"][0]["event"]
    told = "([t, how]) => new Intl.DateTimeFormat('en-GB', how).format(t * 1000)"
    with looked_at(browser, page, script=later) as tab:
        month = tab.evaluate(told, [newest["time"], {"month": "long", "year": "numeric"}])
        hour = tab.evaluate(told, [newest["time"], {"hour": "2-digit", "hourCycle": "h23"}])
        tab.click("text=Month")
        until(lambda: tab.evaluate("window.edgeser.state.hello !== null"), "its clock is set")

        def gone_to() -> bool:
            shown = tab.inner_text(HEADING)
            if re.fullmatch(r"\w+ \d{4}", shown) and shown != month:
                wanted = datetime.strptime(month, "%B %Y")
                is_later = datetime.strptime(shown, "%B %Y") > wanted
                tab.click(f"[aria-label={'Back' if is_later else 'Forward'}]")
            return bool(shown == month)

        until(gone_to, "the month")
        tab.click("text=Hour")
        reads(tab, ".timeline .readout", f"{hour}:00 – ")
        assert month in tab.inner_text(HEADING)


def test_several_days_have_dates_and_no_name_of_another_span(
    browser: Any, page: PageProcess
) -> None:
    pressed = ".toolbar [aria-pressed=true]"
    with looked_at(browser, page) as tab:
        assert tab.inner_text(pressed) == "Day"
        tab.focus(".grab")
        for _ in range(8):
            tab.keyboard.press("-")
        until(lambda: tab.inner_text(".timeline .readout").count(":") == 2, "a span")
        assert re.fullmatch(
            r"\d+ \w+, \d\d:\d\d – \d+ \w+, \d\d:\d\d", tab.inner_text(".timeline .readout")
        )
        assert tab.locator(pressed).count() == 0
        assert re.fullmatch(r"\d+ ?\w* ?\d* ?– ?\d+ \w+ \d{4}", tab.inner_text(HEADING))
        assert re.search(r"\d+ \w+ \d{4}", tab.inner_text(".summary h3"))  # which of them
        row = re.compile(r"\d+ \w+, \d\d:\d\d:\d\d")
        first = tab.locator(".found td .link").first
        until(lambda: row.fullmatch(first.inner_text()), "a date")


def test_lanes_have_the_colours_of_their_names(
    browser: Any, page: PageProcess, daemon: Daemon
) -> None:
    """By name, whatever was said first; and the daemon may name labels that the journal lacks."""
    with looked_at(browser, page, color_scheme="light") as tab:
        tab.route("**/api/live*", lambda route: route.abort())
        tab.reload()
        tab.click("[aria-label=Back]")
        reads(tab, MOOD, "Mostly")

        def is_right(names: list[str]) -> bool:
            lanes = tab.evaluate(COLOURS_OF_LANES)
            own = all(set(seen) <= {name} for name, seen in lanes)
            return own and any(s for _, s in lanes) and [name for name, _ in lanes] == names

        journal = ["angry", "happy", "neutral", "sad", "unknown"]
        until(lambda: is_right(journal), f"{tab.evaluate(COLOURS_OF_LANES)}")
        tab.unroute("**/api/live*")
        scores = {"fearful": 0.1, "happy": 0.9}
        told = (status(), emotion("happy", segment=10, end=2.0, scores=scores))
        both = ["angry", "fearful", "happy", "neutral", "sad", "unknown"]
        until(lambda: daemon.tell(*told) or is_right(both), f"{tab.evaluate(COLOURS_OF_LANES)}")
