"""The page in Debian's Chromium when the daemon, the page's server or its reader goes away."""

from __future__ import annotations

import re
import signal
from datetime import datetime
from typing import Any

from .browsing import opened, shot, shows
from .world import Daemon, PageProcess, emotion, status, until

ABSENT = "window.edgeser.state.absences.at(-1)?.to === null"
FILLED = "window.edgeser.state.link.heard && window.edgeser.state.absences.at(-1)?.to !== null"
COUNT_CONNECTIONS = """window.connections = 0; window.EventSource = class extends EventSource {
    constructor(...given) { super(...given); window.connections += 1; window.latest = this; } };"""


def test_a_gap_is_shown_and_filled_when_the_daemon_is_back(
    browser: Any, page: PageProcess, daemon: Daemon
) -> None:
    with opened(browser, page, locale="en-US") as tab:
        told = emotion("happy", segment=299, end=2.0)
        shows(tab, "Happy", lambda: daemon.tell(status(), told))
        daemon.stop()
        shows(tab, "The daemon has gone")
        assert re.search(r"since \d\d:\d\d:\d\d\.", tab.inner_text(".why"))
        assert re.search(r"last heard as happy, until \d\d:\d\d:\d\d", tab.inner_text(".since"))
        assert tab.inner_text(".label") == "The daemon has gone"
        assert tab.inner_text(".meter .note") == "not known"
        shot(tab, "gap")
        until(lambda: tab.evaluate(ABSENT), "the gap is open")
        daemon.again()
        shows(tab, "nothing recognised lately", lambda: daemon.tell(status(uptime_s=0.1)))
        assert set(tab.locator(".scorebars .value").all_inner_texts()) == {"–"}  # and no score
        told = emotion("sad", segment=300, kind="final", end=2.0)
        daemon.tell(status(uptime_s=0.5), told)
        shows(tab, "Sad", lambda: daemon.tell(status(uptime_s=1.0)))
        until(lambda: tab.evaluate(FILLED), "the gap is closed")


def test_a_tab_opened_while_the_daemon_is_gone_knows_whether_it_was_ever_heard(
    browser: Any, page: PageProcess
) -> None:
    """After two minutes the page's server holds no word of it any more but the link's."""
    what = """async (since) => {
        const { apply, clockOf, explain, newState } = await import('/static/state.js');
        const state = newState();
        const time = Date.now() / 1000 - 3600; // the daemon's clock is an hour behind
        const link = { heard: false, time: since && time - since, trouble: '' };
        apply(state, { type: 'hello', endpoint: '', link, time });
        apply(state, { type: 'ready' });
        const said = explain(state, undefined, clockOf(state));
        return [said.what, said.from && Math.round((clockOf(state) - said.from) / 60)];
    }"""
    with opened(browser, page) as tab:
        assert tab.evaluate(what, None) == ["No daemon is running", None]
        assert tab.evaluate(what, 600) == ["The daemon has gone", 10]


def test_a_server_that_says_nothing_any_more_is_lost_and_found_again(
    browser: Any, page: PageProcess, daemon: Daemon
) -> None:
    lost = "This page has lost its server"
    with opened(browser, page, clock=True, script=COUNT_CONNECTIONS) as tab:
        shows(tab, "Listening", lambda: daemon.tell(status()))
        tab.clock.pause_at(datetime.fromtimestamp(tab.evaluate("Date.now() / 1000 + 10")))
        for segment in (310, 311, 312):  # 40 s between them, of which never 25 without a word
            daemon.tell(status(), emotion("angry", segment=segment, end=2.0))
            seen = f"window.edgeser.state.streams.get('mic').emotion?.segment === {segment}"
            until(lambda seen=seen: tab.evaluate(seen), "a word")
            if segment == 310:
                connections = tab.evaluate("window.connections")
            tab.clock.fast_forward(20_000)
        assert tab.evaluate("window.connections") == connections
        tab.clock.resume()
        page.process.send_signal(signal.SIGSTOP)  # as a device whose plug was pulled
        try:
            tab.clock.fast_forward(30_000)
            shows(tab, lost)
            daemon.tell(status(), emotion("sad", segment=313, end=2.0))
        finally:
            page.process.send_signal(signal.SIGCONT)
        shows(tab, "Listening", lambda: daemon.tell(status()))
        shows(tab, "Sad")


def test_a_tab_that_nobody_looks_at_takes_no_connection_from_others(
    browser: Any, page: PageProcess, daemon: Daemon
) -> None:
    """A browser has six for all its tabs."""
    away = """(away) => {
        Object.defineProperty(document, 'hidden', { value: away, configurable: true });
        document.dispatchEvent(new Event('visibilitychange'));
    }"""
    with opened(browser, page, clock=True, script=COUNT_CONNECTIONS) as tab:
        shows(tab, "Listening", lambda: daemon.tell(status()))
        tab.evaluate(away, True)
        tab.clock.fast_forward(21_000)
        assert tab.evaluate("window.latest.readyState") == 2
        shows(tab, "Connecting")
        tab.evaluate(away, False)
        shows(tab, "Sad", lambda: daemon.tell(status(), emotion("sad", segment=320, end=2.0)))
        assert tab.evaluate("window.latest.readyState") == 1


def test_a_fault_is_known_once_after_a_reconnection(browser: Any, page: PageProcess) -> None:
    faults = """async () => {
        const { apply, newState } = await import('/static/state.js');
        const state = newState();
        const told = { type: 'fault', stream: 'mic', epoch: 'a', time: Date.now() / 1000, message: '' };
        const gap = { type: 'gap', topic: 'emotion.mic', epoch: 'a', from_seq: 3, to_seq: 5 };
        for (const seq of [1, 2, 2, 3]) {
            apply(state, { type: 'hello', time: told.time, link: { heard: true, time: 0, trouble: '' } });
            apply(state, { ...told, seq });
            apply(state, gap);
        }
        return state.faults.map((fault) => fault.code ?? fault.seq);
    }"""  # noqa: E501
    with opened(browser, page) as tab:
        assert tab.evaluate(faults) == [1, "events_missed", 2, 3]
