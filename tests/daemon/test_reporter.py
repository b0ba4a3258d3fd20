"""Whatever thread counts, nothing is lost, and whoever reads meanwhile reads in peace."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator

import pytest

from edgeser.daemon.reporter import FINAL_FIRST, NEWER_FIRST, StreamReporter
from edgeser.events.schema import Event
from edgeser.losses import Losses
from tests.test_decider import WINDOW

TURNS = 3000


@pytest.fixture(autouse=True)
def threads_take_turns_often() -> Iterator[None]:
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


def at_once(*works: Callable[[], None]) -> None:
    failures: list[BaseException] = []

    def guarded(work: Callable[[], None]) -> None:
        try:
            work()
        except BaseException as failure:
            failures.append(failure)

    threads = [threading.Thread(target=guarded, args=(work,)) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]


def test_counts_from_several_threads_add_up() -> None:
    events: list[Event] = []
    reporter = StreamReporter("mic", Losses(), events.append)

    def drop() -> None:
        for _ in range(TURNS):
            reporter.dropped(NEWER_FIRST)

    at_once(drop, drop, drop)
    assert reporter.totals.dropped_windows == 3 * TURNS
    assert reporter.drops == {NEWER_FIRST: 3 * TURNS, FINAL_FIRST: 0}
    assert reporter.losses.take().windows == 3 * TURNS
    reporter.report_failures()
    assert reporter.totals.faults == len(events) == 1


def test_who_reads_the_drops_sees_none_half_made() -> None:
    reporter = StreamReporter("mic", Losses(), lambda event: None)

    def drop() -> None:
        for i in range(TURNS):
            reporter.dropped(f"reason {i}")

    def read() -> None:
        while len(reporter.drops) < TURNS:
            pass

    at_once(drop, read, reporter.report_failures)


def test_failures_that_were_reported_are_not_kept() -> None:
    """A library's error may name an address in memory, so that no two are equal."""
    events: list[Event] = []
    reporter = StreamReporter("mic", Losses(), events.append)
    for number in range(2):
        reporter.failed(WINDOW, RuntimeError(f"at {number:#x}"))
        reporter.report_failures()
    assert len(events) == 2
    assert not reporter._failures
