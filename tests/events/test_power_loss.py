"""A power cut, simulated: the journal's files as a disk may have them, torn at every sector.

Of what was written since the last sync a disk may have any part. What is found afterwards must be
whole: every batch that is whole on the disk, none that is not, and a journal that goes on.
"""

from __future__ import annotations

import random
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import pytest

from edgeser.events.journal.reader import JournalReader
from edgeser.events.journal.store import Entry, JournalStore

SECTOR = 512
BATCHES = 6


class Written(NamedTuple):
    """A journal's files, and how long its log was when each batch was committed."""

    database: bytes
    log: bytes
    payloads: list[list[bytes]]
    ends: list[int]

    def until(self, length: int) -> list[bytes]:
        """What a log of this length holds."""
        pairs = zip(self.payloads, self.ends, strict=True)
        return [payload for batch, end in pairs if end <= length for payload in batch]


def log_of(file: Path) -> Path:
    return file.with_name(f"{file.name}-wal")


def batch(number: int, rng: random.Random) -> list[Entry]:
    """A few entries of one topic, from some bytes to more than a page."""
    topic = f"speech.{'ab'[number % 2]}"
    first = number * 10
    return [
        Entry(topic, first + i, first + i - 1, 1.0 * number, rng.randbytes(rng.choice((40, 6000))))
        for i in range(1, rng.randint(2, 4))
    ]


def write(store: JournalStore, file: Path, numbers: range, rng: random.Random) -> Written:
    payloads, ends = [], []
    for number in numbers:
        entries = batch(number, rng)
        store.append(entries)
        payloads.append([entry.payload for entry in entries])
        ends.append(log_of(file).stat().st_size)
    return Written(file.read_bytes(), log_of(file).read_bytes(), payloads, ends)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "before" / "journal.db"


def after_the_cut(folder: Path, database: bytes, log: bytes) -> list[bytes]:
    """What a daemon finds that starts on these files; it must be able to go on with them."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    file = folder / "journal.db"
    file.write_bytes(database)
    log_of(file).write_bytes(log)
    store = JournalStore(file, "next")
    try:
        with JournalReader(file) as reader:
            found = list(reader.payloads())
        store.append([Entry("speech.c", 1, 0, 99.0, b"the next")])
    finally:
        store.close()
    with JournalReader(file) as reader:
        assert list(reader.payloads()) == [*found, b"the next"]
    with closing(sqlite3.connect(file)) as journal:
        assert journal.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    return found


def test_a_log_that_is_torn_keeps_every_whole_batch(file: Path, tmp_path: Path) -> None:
    rng = random.Random(1)
    store = JournalStore(file, "first")
    written = write(store, file, range(BATCHES), rng)
    store.close()
    assert written.ends == sorted(written.ends)
    log = written.log
    for cut in [*range(0, len(log), SECTOR), len(log)]:
        torn = log[:cut] + rng.choice((b"", bytes(len(log) - cut), rng.randbytes(len(log) - cut)))
        found = after_the_cut(tmp_path / "after", written.database, torn)
        assert found == written.until(cut), cut


def test_a_file_that_is_torn_while_its_log_is_merged_loses_nothing(
    file: Path, tmp_path: Path
) -> None:
    rng = random.Random(2)
    store = JournalStore(file, "first")
    written = write(store, file, range(BATCHES), rng)
    with closing(sqlite3.connect(file)) as other:
        other.execute("PRAGMA wal_checkpoint(PASSIVE)")
    merged = file.read_bytes()
    store.close()
    everything = written.until(len(written.log))
    sectors = [merged[at : at + SECTOR] for at in range(0, len(merged), SECTOR)]
    old = written.database.ljust(len(merged), b"\0")
    for done in range(len(sectors) + 1):
        # Disks write in the order that they like.
        chosen = set(rng.sample(range(len(sectors)), done))
        torn = b"".join(
            sector if at in chosen else old[at * SECTOR : (at + 1) * SECTOR]
            for at, sector in enumerate(sectors)
        )
        assert after_the_cut(tmp_path / "after", torn, written.log) == everything, done


def test_a_log_that_begins_anew_over_the_old_one_loses_nothing(file: Path, tmp_path: Path) -> None:
    rng = random.Random(3)
    store = JournalStore(file, "first")
    first = write(store, file, range(BATCHES), rng)
    with closing(sqlite3.connect(file)) as other:
        other.execute("PRAGMA wal_checkpoint(RESTART)")
    # From here on the log is written from its beginning; its old end stays behind it.
    second = write(store, file, range(BATCHES, BATCHES + 2), rng)
    store.close()
    before = first.until(len(first.log))
    whole = [payload for entries in second.payloads for payload in entries]
    for cut in range(0, len(first.log), SECTOR):
        torn = second.log[:cut] + first.log[cut:]
        found = after_the_cut(tmp_path / "after", second.database, torn)
        assert found[: len(before)] == before, cut
        assert found[len(before) :] in ([], second.payloads[0], whole), cut
