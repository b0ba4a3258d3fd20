"""The journal holds what was published, within its bounds."""

from __future__ import annotations

import os
import sqlite3
import stat
from pathlib import Path

import pytest

from edgeser.events.journal import journal as journal_module
from edgeser.events.journal import sync
from edgeser.events.journal.file import lock_of
from edgeser.events.journal.journal import Journal
from edgeser.events.journal.reader import JournalReader
from edgeser.events.journal.store import JournalStore
from edgeser.events.journal.sync import CHECKPOINT_BYTES
from edgeser.events.publish.publisher import Publisher
from edgeser.events.schema import FaultEvent, StatusEvent
from tests.events.helpers import (
    emotion,
    fault,
    python,
    speech,
    status,
    subscribe,
    take,
    unstamped,
    until,
)
from tests.events.journals import entry, held, held_seqs, place


def test_finals_speech_and_faults_are_kept_as_they_were_published(
    endpoint: str, file: Path
) -> None:
    published = Publisher([endpoint], journal=place(file))
    with published as publisher, subscribe(publisher) as subscriber:
        for event in (speech(), emotion(kind="partial"), status(), emotion(), fault()):
            publisher.publish(event)
        payloads = []
        for _ in range(5):
            take(subscriber, 1)
            payloads.append(subscriber.payload)
        with JournalReader(file) as reader:
            kept = [unstamped(payload) for payload in reader.payloads()]
            assert kept == [unstamped(payloads[i]) for i in (0, 3, 4)]
            (final,) = reader.payloads(["emotion."])
            assert unstamped(final) == unstamped(payloads[3])
    assert stat.S_IMODE(file.stat().st_mode) & 0o007 == 0
    assert [path.name for path in file.parent.iterdir()] == ["journal.db"]


def test_an_event_is_in_the_journal_before_a_subscriber_sees_it(endpoint: str, file: Path) -> None:
    with Publisher([endpoint], journal=place(file)) as publisher, subscribe(publisher) as listener:
        for seq in range(1, 101):
            publisher.publish(fault())
            take(listener, 1)
            assert (publisher.epoch, seq) in held(file)


def test_its_folder_may_have_a_name_that_is_no_text(endpoint: str, tmp_path: Path) -> None:
    file = tmp_path / os.fsdecode(b"caf\xe9 100%") / "events.db"
    file.parent.mkdir()
    with Publisher([endpoint], journal=place(file)) as publisher:
        publisher.publish(emotion())
    with JournalReader(file) as reader:
        extent = reader.extent()
    assert extent is not None
    assert extent.entries == 1


def test_a_status_says_what_can_be_replayed(endpoint: str, file: Path) -> None:
    with Publisher([endpoint], journal=place(file)) as publisher, subscribe(publisher) as listener:
        for event in (emotion(kind="partial"), emotion(), fault(), fault(), status()):
            publisher.publish(event)
        told = take(listener, 5)[-1]
    assert isinstance(told, StatusEvent)
    ranges = {topic: (r.first, r.last) for topic, r in told.journal.items()}
    assert ranges == {"emotion.mic": (2, 2), "fault.mic": (1, 2)}


def test_the_next_run_carries_the_journal_on(endpoint: str, file: Path) -> None:
    epochs = []
    for _ in range(3):
        with Publisher([endpoint], journal=place(file)) as publisher:
            publisher.publish(fault())
            epochs.append(publisher.epoch)
    assert held(file) == [(epoch, 1) for epoch in epochs]
    with JournalReader(file) as reader:
        assert reader.first_epoch() == epochs[0]
        assert reader.next_epoch(epochs[0]) == epochs[1]
        assert reader.next_epoch(epochs[2]) is None


def test_it_stays_within_its_size_and_shrinks(file: Path) -> None:
    store = JournalStore(file, "a")
    for start in range(1, 4001, 100):
        store.append([entry(seq) for seq in range(start, start + 100)])
        while store.trim(1_000_000, 1e9):
            pass
    held = store.ranges()["fault.mic"]
    assert held.last == 4000
    assert 500 < held.last - held.first < 1000
    while store.trim(100_000, 1e9):
        pass
    store.close()
    assert file.stat().st_size < 200_000


def test_what_is_trimmed_cannot_be_read_any_more(file: Path) -> None:
    store = JournalStore(file, "a")
    for seq in range(1, 401):
        store.append([entry(seq)._replace(payload=f"said {seq:04} ".encode() * 100)])
    store.trim(300_000, 1e9)
    first = store.ranges()["fault.mic"].first
    store.close()
    content = file.read_bytes()
    assert 1 < first < 400
    assert f"said {first:04}".encode() in content
    assert not any(f"said {seq:04}".encode() in content for seq in range(1, first))


def test_its_log_is_cut_however_fast_it_grows(file: Path) -> None:
    journal = Journal(place(file), "a")
    for seq in range(1, 501):  # 10 MB
        journal.keep(entry(seq, size=10_000))
    wal = file.with_name("journal.db-wal")
    until(lambda: wal.stat().st_size <= CHECKPOINT_BYTES)
    journal.close()
    assert held_seqs(file, "a") == list(range(1, 501))


def test_its_log_is_cut_though_nothing_is_kept(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The journal's clock is written once a minute, also while there is no event for months."""
    monkeypatch.setattr(journal_module, "MAINTENANCE_S", 0.01)
    monkeypatch.setattr(sync, "CHECKPOINT_BYTES", 50_000)
    journal = Journal(place(file), "a")
    journal.await_open()
    wal, sizes = file.with_name("journal.db-wal"), [0]

    def is_cut() -> bool:
        sizes.append(wal.stat().st_size)
        return sizes[-1] < max(sizes)

    until(is_cut)
    journal.close()


WRITE = """
import sys, time
from pathlib import Path
from edgeser.events.journal.store import Entry
from edgeser.events.journal import journal as module
from edgeser.events.journal.journal import Journal, JournalPlace
module.PATIENCE_S = 120
journal = Journal(JournalPlace(Path(sys.argv[1]), max_mb=1), sys.argv[2])
for seq in range(1, 100_000):
    journal.keep(Entry("fault.mic", seq, seq - 1, time.time(), b"x" * 500))
    print(seq, flush=True)
"""


@pytest.mark.parametrize("times", [8])
def test_a_killed_writer_loses_nothing_that_it_had_confirmed(file: Path, times: int) -> None:
    for run in range(times):
        writer = python(WRITE, str(file), f"run{run}")
        assert writer.stdout is not None
        confirmed = [int(writer.stdout.readline()) for _ in range(20 + 150 * run)]
        writer.kill()
        # Not communicate(): that forgets what readline() has read ahead.
        confirmed += map(int, writer.stdout.read().splitlines())
        writer.communicate()
        assert lock_of(file).exists()
        with JournalReader(file) as reader:
            (topic,) = reader.topics(f"run{run}")
            rows = list(reader.entries(topic, 0, 10**9))
        assert rows[-1].seq in (confirmed[-1], confirmed[-1] + 1)
        assert [row.seq for row in rows] == list(range(rows[0].seq, rows[-1].seq + 1))
        with sqlite3.connect(file) as database:
            assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        database.close()


def test_without_a_journal_nothing_is_said_of_one(endpoint: str) -> None:
    with Publisher([endpoint]) as publisher, subscribe(publisher) as listener:
        publisher.publish(fault())
        publisher.publish(status())
        event, told = take(listener, 2)
        assert isinstance(event, FaultEvent)
        assert isinstance(told, StatusEvent)
        assert told.journal == {}
        assert publisher.journal_news() == []
