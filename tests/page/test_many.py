"""Several streams on the page: the one in trouble is found, and the others are not told again."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import msgspec
import pytest

from edgeser.events.schema import JournalRange

from .browsing import BROKEN, LISTEN_TO_WHAT_IS_SAID, WIDER, opened, shows
from .world import Daemon, PageProcess, emotion, fault, status, until

OUTSIDE = """(parts) => [...document.querySelectorAll(parts.join())]
    .filter((e) => e.getBoundingClientRect().right > innerWidth).map((e) => e.textContent)"""
ROOMS = ("room 1", "room 2", "room 10")


def beat(daemon: Daemon, dead: str = "") -> Callable[[], None]:
    """What every stream says each second; a dead one hears nothing."""
    told = [
        status("no_audio", stream=room, frame_age_s=9.0, level_dbfs=None)
        if room == dead
        else status("speech", stream=room)
        for room in ROOMS
    ]
    return lambda: daemon.tell(*told)


def last_said(tab: Any) -> str:
    """To a screen reader; where statuses come late the daemon seems to have gone for a moment."""
    said: str = tab.inner_text("[role=status]")
    return said.removeprefix("Connected to the daemon, ")


def cards(tab: Any) -> list[str]:
    named: list[str] = tab.locator("article h2").all_inner_texts()
    return [name for name in named if name in ROOMS]


def test_a_dead_microphone_among_many_is_seen_said_and_first(
    browser: Any, page: PageProcess, daemon: Daemon
) -> None:
    with opened(browser, page, "#health") as tab:
        daemon.tell(*(emotion("happy", stream=room, mood=(0.5, 0.5)) for room in ROOMS))
        shows(tab, "Speech", beat(daemon))
        assert tab.inner_text(".top .chip") == "Speech"
        tab.click("nav >> text=Now")
        shows(tab, "Scores", beat(daemon))
        assert cards(tab) == list(ROOMS)  # by number, not by letter
        assert tab.locator(".plane").count() == 0  # it would make each card twice as high
        daemon.tell(fault(stream="room 10"))
        shows(tab, "No sound arrives: 1 of", beat(daemon, "room 10"))
        saying = lambda: beat(daemon, "room 10")()  # noqa: E731
        until(lambda: saying() or "room 10: No sound arrives" in last_said(tab), "said")
        assert cards(tab)[0] == "room 10"
        tab.click("nav >> text=Past")
        tab.click(".top .chip")
        until(lambda: "room 10" in tab.evaluate("document.activeElement.ariaLabel ?? ''"), "there")


@pytest.mark.parametrize("view", ["#now", "#past", "#health"])
def test_a_long_name_and_a_narrow_screen_break_no_word(
    browser: Any, page: PageProcess, daemon: Daemon, view: str
) -> None:
    long = emotion(stream=120 * "x", segment=3, kind="final")
    held = {f"emotion.{120 * 'x'}": JournalRange(1, 1)}
    with opened(browser, page, view) as tab:
        daemon.tell(msgspec.structs.replace(status("speech"), journal=held), long)
        until(lambda: 120 * "x" in tab.content(), "the name")
        tab.evaluate("for (const more of document.querySelectorAll('details')) more.open = true")
        for width in (320, 375):
            tab.set_viewport_size({"width": width, "height": 800})
            assert tab.evaluate(OUTSIDE, ["dt", "dd", "select", "h2"]) == []
            assert tab.evaluate(WIDER) <= 0
            assert tab.evaluate(BROKEN, ["nav a", "button", ".pick", ".scorebars .name"]) == []
            assert tab.inner_text(".top .chip"), "a dot alone tells a screen reader nothing"
            if view == "#past":
                named = tab.locator(".found td.where").first
                until(lambda named=named: named.bounding_box()["width"] > 150, "the name's room")


def test_forced_colours_show_what_is_chosen(browser: Any, page: PageProcess) -> None:
    line = "e => getComputedStyle(e).textDecorationLine"
    with opened(browser, page, "#past", forced_colors="active") as tab:
        for chosen in ("nav [aria-current]", ".toolbar [aria-pressed=true]"):
            assert tab.locator(chosen).evaluate(line) == "underline"
        assert tab.locator(".toolbar [aria-pressed=false]").first.evaluate(line) == "none"


def test_a_screen_reader_is_told_of_the_stream_that_changed_alone(
    browser: Any, page: PageProcess, daemon: Daemon
) -> None:
    def are_said() -> bool:
        beat(daemon)()
        spoken = tab.evaluate("window.spoken.join()")
        return all(f"{room}: happy" in spoken for room in ROOMS)

    with opened(browser, page, script=LISTEN_TO_WHAT_IS_SAID) as tab:
        daemon.tell(*(emotion("happy", stream=room) for room in ROOMS))
        until(are_said, "all of them")
        told = emotion("sad", stream="room 2", segment=2)
        shows(tab, "Sad", lambda: daemon.tell(status("speech", stream="room 1"), told))
        until(lambda: beat(daemon)() or last_said(tab) == "room 2: sad", "that one alone")


def test_a_screen_reader_is_told_no_more_than_it_has_time_to_say(
    browser: Any, page: PageProcess
) -> None:
    tell = """async ([label, ready]) => {
        const { apply } = await import('/static/state.js');
        const time = Date.now() / 1000;
        const { state, changed } = edgeser;
        Object.assign(state, { connected: true, link: { heard: true, time: 0, trouble: '' } });
        const told = { time, stream: 'mic', epoch: 'a', seq: time };
        if (label) apply(state, { ...told, type: 'emotion', start: 0, end: 1, label, confidence: 1,
            scores: { [label]: 1 }, smoothed: { label, since: 0 }, latency_ms: { total: 1 } });
        if (ready) apply(state, { ...told, type: 'status', state: 'speech', frame_age_s: 0, uptime_s: 9,
            level_dbfs: -20, counters: {}, journal: {} });
        if (ready) apply(state, { type: 'ready' });
        changed();
    }"""  # noqa: E501

    def told(label: str, run_ms: int, *, ready: bool = True) -> list[str]:
        tab.evaluate(tell, [label, ready])
        tab.clock.run_for(run_ms)
        spoken: list[str] = tab.evaluate("window.spoken")
        return spoken

    silent = "window.EventSource = class { static CLOSED = 2; close() {} };"
    script = LISTEN_TO_WHAT_IS_SAID + silent
    with opened(browser, page, clock=True, script=script) as tab:
        until(lambda: tab.locator("nav").count(), "the page")
        tab.clock.pause_at(datetime.now() + timedelta(seconds=5))
        assert told("angry", 500, ready=False) == []  # what is past, and the present still to come
        assert tab.inner_text(".top .chip") == "Connecting"
        assert told("happy", 500) == ["happy"]
        for label in ("sad", "happy", "neutral"):
            assert told(label, 500) == ["happy"], label
        assert told("", 2000) == ["happy", "neutral"]


def test_a_stream_that_the_new_run_lacks_is_in_no_trouble(
    browser: Any, page: PageProcess, daemon: Daemon
) -> None:
    told = [status("no_audio", stream="attic", level_dbfs=None), status(stream="kitchen")]

    def comes_to_listen(tab: Any) -> bool:
        daemon.tell(status(stream="kitchen", uptime_s=1.0))
        return bool(tab.inner_text(".top .chip") == "Listening")

    with opened(browser, page) as tab:
        shows(tab, "No sound arrives: 1 of", lambda: daemon.tell(*told))
        daemon.again()
        until(lambda: comes_to_listen(tab), "only what there is counts")
    with opened(browser, page) as late:
        until(lambda: comes_to_listen(late), "in a new tab, too")
        assert "attic" not in late.inner_text("main")


def test_a_stream_that_the_new_run_lacks_leaves_the_page_and_may_come_back(
    browser: Any, page: PageProcess, daemon: Daemon
) -> None:
    def is_shown(tab: Any, *rooms: str) -> bool:
        daemon.tell(*(status(stream=room) for room in rooms))
        return "loft" in tab.inner_text("main")

    with opened(browser, page) as tab:
        daemon.tell(emotion("happy", stream="loft", kind="final"))
        until(lambda: is_shown(tab, "kitchen", "loft"), "both")
        daemon.again()
        until(lambda: not is_shown(tab, "kitchen"), "the one that is there")
        assert "Waiting" not in tab.inner_text("main")
        with opened(browser, page) as late:
            until(lambda: not is_shown(late, "kitchen"), "in a new tab, too")
        until(lambda: is_shown(tab, "kitchen", "loft"), "both again")


def test_scores_of_another_model_keep_their_labels(
    browser: Any, page: PageProcess, daemon: Daemon
) -> None:
    has_purple = """() => {
        const canvas = document.querySelector('[aria-label="Stream study"] .scores canvas');
        if (!canvas) return false;
        const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
        for (let i = 0; i < data.length; i += 4)
            if (data[i] === 0xcc && data[i + 1] === 0x79 && data[i + 2] === 0xa7) return true;
        return false;
    }"""
    fear = {"fearful": 0.9, "happy": 0.1}
    other = emotion("fearful", stream="study", end=30.0, scores=fear)  # too long to be covered
    cards = "localStorage.setItem('edgeser-streams', 'cards')"
    with opened(browser, page, script=cards, color_scheme="light") as tab:
        daemon.tell(status(stream="study"), other)
        until(lambda: tab.evaluate(has_purple), "fear")
        daemon.tell(emotion("happy", stream="study", segment=2))
        labels = "window.edgeser.state.streams.get('study').labels.length"
        until(lambda: tab.evaluate(labels) == 4, "the other model")
        drawn = "window.drawn = 0; requestAnimationFrame(() => setTimeout(() => drawn = 1, 500))"
        tab.evaluate(drawn)
        until(lambda: tab.evaluate("window.drawn"), "a second later")
        assert tab.evaluate(has_purple)


def test_that_not_all_streams_are_shown_is_said(browser: Any, page: PageProcess) -> None:
    tell = """async (streams) => {
        const { apply } = await import('/static/state.js');
        const time = Date.now() / 1000;
        const told = { type: 'status', time, state: 'listening', epoch: 'many', seq: time, journal: {} };
        const numbers = { frame_age_s: 0, uptime_s: 1, level_dbfs: -50, counters: {} };
        for (let n = 0; n < streams; n += 1) apply(edgeser.state, { ...told, ...numbers, stream: `s${n}` });
        edgeser.changed();
    }"""  # noqa: E501

    def says(streams: int) -> str:
        tab.evaluate(tell, streams)
        return str(tab.inner_text("main .overview")) if tab.locator(".overview").count() else ""

    with opened(browser, page) as tab:
        tab.route("**/api/live*", lambda route: route.abort())
        tab.reload()
        tab.evaluate("edgeser.state.connected = true")
        tab.evaluate("edgeser.state.link = { heard: true, time: 0, trouble: '' }")
        until(lambda: "256 streams" in says(256), "all")
        assert "The daemon has more" not in says(256)
        until(lambda: "The daemon has more than this page can show" in says(257), "the sentence")


def test_a_screen_reader_is_told_that_trouble_is_over(
    browser: Any, page: PageProcess, daemon: Daemon
) -> None:
    def is_said(words: str, *events: Any) -> bool:
        daemon.tell(*events)
        return words in tab.evaluate("window.spoken.join()")

    dead, well = status("no_audio", stream="cellar", level_dbfs=None), status(stream="cellar")
    with opened(browser, page, script=LISTEN_TO_WHAT_IS_SAID) as tab:
        two = (well, status(stream="attic"), dead)
        until(lambda: is_said("No sound arrives", *two), "the trouble of a stream")
        until(lambda: is_said("Listening", well), "it is over")
        tab.evaluate("window.spoken.length = 0")  # of a moment in which no status came
        daemon.stop()
        until(lambda: is_said("The daemon has gone"), "the daemon's")
        assert tab.locator("article").count() > 1
        assert tab.inner_text("main").count("Nothing has come from") == 1  # not once in each card
        tab.evaluate("window.spoken.length = 0")
        daemon.again()
        until(lambda: is_said("Connected to the daemon", well), "it is back")
