"""Entries go when they are old, whatever is done to the system's clock."""

from __future__ import annotations

import sqlite3
import time
from pathlib import Path

import pytest

from edgeser.events.journal.age import Now
from edgeser.events.journal.journal import Journal, JournalPlace
from edgeser.events.journal.reader import JournalReader
from edgeser.events.journal.store import Entry, JournalStore

from .helpers import until

DAY_S = 86_400.0
MONTH_S = 30 * DAY_S


class Machine:
    """Its clock can be stepped, and it can be off."""

    def __init__(self) -> None:
        self.now = Now("first boot", 1000.0, 1.8e9)

    def passes(self, seconds: float) -> None:
        boot, up_s, unix_s = self.now
        self.now = Now(boot, up_s + seconds, unix_s + seconds)

    def steps(self, seconds: float) -> None:
        self.now = self.now._replace(unix_s=self.now.unix_s + seconds)

    def is_off_for(self, seconds: float) -> None:
        self.now = Now(f"after {self.now}", 5.0, self.now.unix_s + seconds)

    def store(self, file: Path, epoch: str = "a") -> JournalStore:
        return JournalStore(file, epoch, lambda: self.now)

    def keep(self, store: JournalStore, seq: int) -> None:
        store.append([Entry("fault.mic", seq, seq - 1, self.now.unix_s, b"{}")])
        trim(store)


def trim(store: JournalStore) -> None:
    while store.trim(10**9, MONTH_S):
        pass


def first(store: JournalStore) -> int:
    return store.ranges()["fault.mic"].first


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "journal.db"


@pytest.mark.parametrize("step_days", [40, 20_000, -40])
def test_a_step_of_the_clock_deletes_nothing(file: Path, step_days: int) -> None:
    machine = Machine()
    store = machine.store(file)
    machine.keep(store, 1)
    machine.passes(120)
    machine.steps(step_days * DAY_S)
    machine.keep(store, 2)
    assert first(store) == 1
    store.close()
    store = machine.store(file, "b")  # nor does a daemon that is started again
    trim(store)
    store.close()
    assert len(payloads(file)) == 2


def test_what_was_stamped_in_the_future_protects_nothing(file: Path) -> None:
    machine = Machine()
    store = machine.store(file)
    machine.keep(store, 1)
    machine.steps(1000 * DAY_S)
    machine.keep(store, 2)
    machine.steps(-1000 * DAY_S)
    machine.passes(3600)
    trim(store)
    machine.passes(20 * DAY_S)
    machine.keep(store, 3)
    assert first(store) == 1
    machine.passes(11 * DAY_S)
    trim(store)
    assert first(store) == 3
    store.close()


def test_the_time_that_the_machine_was_off_counts(file: Path) -> None:
    machine = Machine()
    store = machine.store(file)
    machine.keep(store, 1)
    store.append([Entry("fault.mic", 2, 1, machine.now.unix_s, b"{}")])  # and is killed
    store.close()
    machine.is_off_for(20 * DAY_S)
    store = machine.store(file)
    machine.keep(store, 3)
    assert first(store) == 1
    store.close()
    machine.is_off_for(11 * DAY_S)
    store = machine.store(file)
    trim(store)
    assert first(store) == 3
    store.close()


def test_the_entries_of_an_older_version_are_as_old_as_they_say(file: Path) -> None:
    machine = Machine()
    store = machine.store(file)
    for seq, days_ago in enumerate((35, 25, -500, 0), 1):
        at = machine.now.unix_s - days_ago * DAY_S
        store.append([Entry("fault.mic", seq, seq - 1, at, b"{}")])
    store.close()
    with sqlite3.connect(file) as database:
        database.execute("DROP TABLE clock")
        database.execute("DROP TABLE marks")
    database.close()
    store = machine.store(file)
    trim(store)
    assert first(store) == 2
    machine.passes(6 * DAY_S)
    trim(store)
    assert first(store) == 3
    store.close()


def test_a_journal_that_runs_lives_through_a_step(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = Journal(JournalPlace(file), "a")
    journal.keep(Entry("fault.mic", 1, 0, time.time(), b"{}"))
    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() + 40 * DAY_S)
    for seq in range(2, 600):  # enough that it is held within its bounds
        journal.keep(Entry("fault.mic", seq, seq - 1, time.time(), b"{}"))
    until(lambda: len(payloads(file)) == 599)
    journal.close()
    assert len(payloads(file)) == 599


def payloads(file: Path) -> list[bytes]:
    with JournalReader(file) as reader:
        return list(reader.payloads())
