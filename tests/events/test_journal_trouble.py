"""Whatever is wrong with its disk or file, the journal never stands in the way."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import threading
from pathlib import Path

import pytest

from edgeser.events.journal import journal as journal_module
from edgeser.events.journal.file import ForeignFileError
from edgeser.events.journal.journal import Journal
from edgeser.events.journal.reader import JournalReader
from edgeser.events.journal.store import Entry, JournalStore
from edgeser.events.publish.publisher import Publisher
from edgeser.events.schema import JournalRange, StatusEvent
from tests.disks import filled
from tests.events.helpers import (
    asker,
    fault,
    status,
    subscribe,
    take,
    until,
)
from tests.events.journals import codes, entry, held, held_seqs, place


def test_a_second_daemon_gets_no_part_of_it_until_the_first_has_gone(file: Path) -> None:
    first = Journal(place(file), "a")
    first.keep(entry(1))
    second = Journal(place(file), "b")
    second.keep(entry(1))
    until(lambda: not second.ranges())
    (news,) = second.news()
    assert f"pid {os.getpid()}" in news.message
    assert "journal.path" in news.message
    first.close()
    assert codes(second, "journal_restored") == ["journal_restored"]
    assert second.ranges() == {"fault.mic": JournalRange(1, 1)}
    second.close()
    with JournalReader(file) as reader:
        assert len(list(reader.payloads())) == 2


def test_a_full_disk_costs_no_event_and_the_journal_comes_back(
    small_disk: Path, endpoint: str
) -> None:
    file = small_disk / "journal.db"
    with Publisher([endpoint], journal=place(file)) as publisher, subscribe(publisher) as listener:
        publisher.publish(fault("before"))
        take(listener, 1)
        filler = filled(small_disk)
        number = 1
        news: list[str] = []
        while "journal_off" not in news:
            number += 1
            publisher.publish(fault("x" * 5000))
            news += [item.code for item in publisher.journal_news()]
            assert len(take(listener, 1)) == 1
        filler.unlink()
        assert "journal_restored" in codes(publisher, "journal_restored")
        publisher.publish(fault("after"))
        take(listener, 1)
        assert [seq for _, seq in held(file)] == list(range(1, number + 2))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a disk read-only")
def test_a_read_only_folder_costs_no_event_and_the_journal_comes_back(
    small_disk: Path, endpoint: str
) -> None:
    file = small_disk / "journal.db"
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    with Publisher([endpoint], journal=place(file)) as publisher, subscribe(publisher) as listener:
        publisher.publish(fault())
        publisher.publish(status())
        told = take(listener, 2)[1]
        assert isinstance(told, StatusEvent)
        assert told.journal == {}
        assert codes(publisher, "journal_off") == ["journal_off"]
        subprocess.run(["mount", "-o", "remount,rw", str(small_disk)], check=True)
        assert codes(publisher, "journal_restored") == ["journal_restored"]
        assert held(file) == [(publisher.epoch, 1)]


@pytest.mark.parametrize("damage", ["garbage", "torn", "in use"])
def test_a_corrupt_file_is_set_aside_and_never_deleted(
    endpoint: str, file: Path, damage: str
) -> None:
    store = JournalStore(file, "before")
    store.append([entry(seq) for seq in range(1, 200)])
    store.close()
    if damage == "garbage":
        file.write_bytes(b"no database at all" * 1000)
    elif damage == "torn":
        whole = file.read_bytes()
        file.write_bytes(whole[:4096] + b"\xff" * (len(whole) - 4096))
    with Publisher([endpoint], journal=place(file)) as publisher, subscribe(publisher) as listener:
        if damage == "in use":
            publisher.publish(fault())
            take(listener, 1)
            with file.open("r+b") as broken:
                broken.seek(4096)
                broken.write(b"\xff" * (file.stat().st_size - 4096))
            with asker(publisher) as reader:  # who reads it finds out
                reader.linger = 10_000
                reader.send(b'{"id":1,"epoch":"before","prefixes":[""]}')
        news: list[str] = []

        def comes_back() -> bool:
            publisher.publish(fault())
            assert len(take(listener, 1)) == 1
            news.extend(item.code for item in publisher.journal_news())
            return "journal_restored" in news

        until(comes_back)
        assert news == ["journal_off", "journal_restored"]
        publisher.publish(fault())
        take(listener, 1)
        assert held(file)[-1][0] == publisher.epoch
    (aside,) = [p for p in file.parent.iterdir() if ".corrupt-" in p.name and "-wal" not in p.name]
    assert aside.stat().st_size > 0


def test_a_corrupt_file_costs_a_run_that_ends_at_once_nothing(file: Path) -> None:
    file.parent.mkdir()
    file.write_bytes(b"no database at all" * 1000)
    journal = Journal(place(file, retry_s=3600), "a")
    journal.keep(entry(1))
    journal.close()
    assert held_seqs(file, "a") == [1]


def test_a_link_to_nothing_is_not_followed(file: Path) -> None:
    file.parent.mkdir()
    target = file.parent / "elsewhere"
    file.symlink_to(target)
    journal = Journal(place(file), "a")
    journal.keep(entry(1))
    (news,) = journal.news()
    assert "symbolic link to nothing" in news.message
    journal.close()
    assert not target.exists()


@pytest.mark.parametrize(
    ("version", "complaint"),
    [(0, "which no version"), (-5, "which no version"), (9, "later version")],
)
def test_what_is_wrong_with_its_format_is_said(file: Path, version: int, complaint: str) -> None:
    JournalStore(file, "a").close()
    with sqlite3.connect(file) as database:
        database.execute(f"PRAGMA user_version = {version}")
    database.close()
    with pytest.raises(ForeignFileError, match=complaint):
        JournalStore(file, "b")
    with pytest.raises(ForeignFileError, match=complaint):
        JournalReader(file)


def test_a_removed_file_is_made_again(file: Path) -> None:
    journal = Journal(place(file), "a")
    journal.keep(entry(1))
    shutil.rmtree(file.parent)
    journal.keep(entry(2))
    assert codes(journal, "journal_restored") == ["journal_off", "journal_restored"]
    journal.close()
    with JournalReader(file) as reader:
        assert [row.seq for row in reader.entries(reader.topics("a")[0], 0, 10)] == [2]


def test_a_database_of_somebody_else_is_left_alone(file: Path) -> None:
    file.parent.mkdir()
    database = sqlite3.connect(file)
    database.execute("CREATE TABLE precious (x)")
    database.close()
    before = file.read_bytes()
    journal = Journal(place(file), "a")
    journal.keep(entry(1))
    assert codes(journal, "journal_off") == ["journal_off"]
    journal.close()
    assert file.read_bytes() == before


def test_a_disk_that_hangs_delays_no_event_for_long(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal_module, "PATIENCE_S", 0.1)
    append = JournalStore.append
    goes_on = threading.Event()

    def slow(store: JournalStore, entries: list[Entry]) -> None:
        goes_on.wait()
        append(store, entries)

    monkeypatch.setattr(JournalStore, "append", slow)
    journal = Journal(place(file), "a")
    for seq in range(1, 50):
        journal.keep(entry(seq))  # comes back, though the disk hangs
    goes_on.set()
    assert codes(journal, "journal_restored") == ["journal_off", "journal_restored"]
    assert journal.ranges() == {"fault.mic": JournalRange(1, 49)}
    journal.close()


def test_what_waits_for_the_disk_is_bounded_and_its_loss_is_told(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal_module, "MAX_WAITING", 10)
    file.parent.write_text("in the way of the folder")
    journal = Journal(place(file), "a")
    for seq in range(1, 31):
        journal.keep(entry(seq))
    codes(journal, "journal_off")
    file.parent.unlink()
    news: list[str] = []
    until(lambda: bool(news.extend(n.message for n in journal.news()) or news))
    assert "20 entries" in news[-1]
    journal.close()
    with JournalReader(file) as reader:
        (topic,) = reader.topics("a")
        rows = list(reader.entries(topic, 0, 100))
    assert [row.seq for row in rows] == list(range(21, 31))
    assert rows[0].after == 20, "the chain shows what is gone"


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
