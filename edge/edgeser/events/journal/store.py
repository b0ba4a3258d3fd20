"""The journal's file: an SQLite database of what was published. One writer, any number of readers.

Every entry holds the number of the entry before it in its topic (``after``). So a reader can tell a
number that was never kept, such as a partial's, from one that was kept and is gone: while the chain
of a topic is unbroken nothing is missing, whatever numbers it skips.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from edgeser.events.journal import age
from edgeser.events.journal.age import Ages, Now
from edgeser.events.journal.file import (
    APPLICATION_ID,
    FORMAT,
    ForeignFileError,
    check_format,
    connect,
    lock_of,
    make,
    shrink,
)
from edgeser.events.schema import JournalRange
from edgeser.events.wire.lock import FileLock

PAGE_BYTES = 4096
CACHE_KB = 256
"""Memory for pages of the file: little, since the system caches them anyway."""

TRIM_AT_ONCE = 256
"""Entries deleted in one transaction: a few milliseconds."""

EPOCHS_REMEMBERED = 1000
"""Runs whose last numbers are remembered after their entries are gone."""

_TABLES = """
CREATE TABLE topics (
    id INTEGER PRIMARY KEY,
    epoch TEXT NOT NULL,
    topic TEXT NOT NULL,        -- empty: stands for the epoch itself
    last INTEGER NOT NULL,      -- number of the last entry, also when it was trimmed
    UNIQUE (epoch, topic)
);
CREATE TABLE events (
    id INTEGER PRIMARY KEY,     -- in the order of publishing, over all topics and epochs
    topic_id INTEGER NOT NULL REFERENCES topics (id),
    seq INTEGER NOT NULL,
    after INTEGER NOT NULL,     -- number of the entry of this topic before this one; 0: none
    time REAL NOT NULL,
    payload BLOB NOT NULL,
    UNIQUE (topic_id, seq)
);
"""


class Entry(NamedTuple):
    """An event to keep."""

    topic: str
    seq: int
    after: int
    time: float
    payload: bytes


class JournalStore:
    """The writer's end of the file. To be used in one thread.

    Commits go to the file's log (WAL) without waiting for the disk: they survive the death of the
    process at any instant, and a loss of power once ``JournalSync`` has run.
    """

    def __init__(self, path: Path, epoch: str, now: Callable[[], Now] = age.now) -> None:
        """Open the file or make it, for this process alone. ``now``: the time, for retention.

        Raises ``BlockingIOError`` where another process writes to it, ``OSError``,
        ``sqlite3.Error`` or ``ForeignFileError``.
        """
        self.path = path
        self._epoch = epoch
        self._now = now
        path.parent.mkdir(mode=0o750, parents=True, exist_ok=True)
        self._lock = FileLock(lock_of(path))
        try:
            make(path)
            self._database = connect(path)
            try:
                self._prepare()
                self._enter_epoch()
                self._topic_ids = self._known_topics()
                self._identity = path.stat()
            except BaseException:
                self._database.close()
                raise
        except BaseException:
            self._lock.release()
            raise

    def append(self, entries: Sequence[Entry]) -> None:
        """Keep entries, all or none. Those already kept stay as they are."""
        known = dict(self._topic_ids)
        with self._transaction():
            for entry in entries:
                self._append(entry, known)
        self._topic_ids = known

    def trim(self, max_bytes: int, max_age_s: float) -> bool:
        """Delete some of the oldest entries: those older than ``max_age_s``, and as many as exceed
        ``max_bytes``. Returns whether there may be more to delete.

        Age is by the journal's own clock; the timestamps of events, which are the system's, do not
        matter.
        """
        with self._transaction():
            self._ages.mark(self._now(), max_age_s)
        too_old = self._ages.last_older(max_age_s)
        excess = self._bytes_used() - max_bytes
        rows = self._database.execute(
            "SELECT id, length(payload) FROM events ORDER BY id LIMIT ?", (TRIM_AT_ONCE,)
        ).fetchall()
        last = None
        for row_id, length in rows:
            if row_id > too_old and excess <= 0:
                break
            last = row_id
            excess -= length
        if last is None:
            return False
        with self._transaction():
            self._database.execute("DELETE FROM events WHERE id <= ?", (last,))
            self._ages.forget(last)
            self._forget_epochs()
        if self._has_room():
            shrink(self._database, TRIM_AT_ONCE * 4)
        return bool(last == rows[-1][0])

    def ranges(self) -> dict[str, JournalRange]:
        """First and last number held of each topic of this epoch."""
        return {
            topic: JournalRange(first, last)
            for topic, topic_id in self._topic_ids.items()
            for first, last in self._database.execute(
                "SELECT (SELECT min(seq) FROM events WHERE topic_id = :id),"
                " (SELECT max(seq) FROM events WHERE topic_id = :id)",
                {"id": topic_id},
            )
            if first is not None
        }

    def is_current(self) -> bool:
        """Whether the open file is still the one at the path, which somebody may have removed."""
        try:
            return os.path.samestat(self.path.stat(), self._identity)
        except OSError:
            return False

    def close(self) -> None:
        """Close the file; its log is merged into it and removed."""
        try:
            self._database.close()
        finally:
            self._lock.release()

    def _prepare(self) -> None:
        self._database.execute("PRAGMA synchronous = NORMAL")
        self._database.execute(f"PRAGMA cache_size = -{CACHE_KB}")
        ours = self._pragma("application_id") == APPLICATION_ID
        if not ours and self._database.execute("SELECT 1 FROM sqlite_master").fetchone():
            raise ForeignFileError("it is a database of another program")
        if ours:
            check_format(self._pragma("user_version"))
        if not ours:
            self._database.execute(f"PRAGMA page_size = {PAGE_BYTES}")
            self._database.execute("PRAGMA auto_vacuum = INCREMENTAL")
        self._database.execute("PRAGMA journal_mode = WAL")
        self._database.execute("PRAGMA wal_autocheckpoint = 0")  # JournalSync does it
        self._database.execute("PRAGMA journal_size_limit = 0")
        if not ours:
            with self._transaction():
                for statement in _TABLES.split(";\n")[:-1]:
                    self._database.execute(statement)
                self._database.execute(f"PRAGMA user_version = {FORMAT}")
                self._database.execute(f"PRAGMA application_id = {APPLICATION_ID}")

    def _enter_epoch(self) -> None:
        """Record this run and its place among the others, even if it never publishes anything."""
        with self._transaction():
            self._ages = Ages(self._database, self._now())
            self._database.execute(
                "INSERT OR IGNORE INTO topics (epoch, topic, last) VALUES (?, '', 0)",
                (self._epoch,),
            )
            self._forget_epochs()

    def _known_topics(self) -> dict[str, int]:
        query = "SELECT topic, id FROM topics WHERE epoch = ?"
        return dict(self._database.execute(query, (self._epoch,)).fetchall())

    def _append(self, entry: Entry, known: dict[str, int]) -> None:
        topic_id = known.get(entry.topic)
        if topic_id is None:
            cursor = self._database.execute(
                "INSERT INTO topics (epoch, topic, last) VALUES (?, ?, 0)",
                (self._epoch, entry.topic),
            )
            assert cursor.lastrowid is not None
            topic_id = known[entry.topic] = cursor.lastrowid
        self._database.execute(
            "INSERT OR IGNORE INTO events (topic_id, seq, after, time, payload)"
            " VALUES (?, ?, ?, ?, ?)",
            (topic_id, entry.seq, entry.after, entry.time, entry.payload),
        )
        self._database.execute("UPDATE topics SET last = ? WHERE id = ?", (entry.seq, topic_id))

    def _forget_epochs(self) -> None:
        self._database.execute(
            "DELETE FROM topics WHERE epoch NOT IN"
            " (SELECT epoch FROM topics GROUP BY epoch ORDER BY max(id) DESC LIMIT ?)"
            " AND id NOT IN (SELECT topic_id FROM events)",
            (EPOCHS_REMEMBERED,),
        )

    def _bytes_used(self) -> int:
        return (self._pragma("page_count") - self._pragma("freelist_count")) * PAGE_BYTES

    def _has_room(self) -> bool:
        """Whether more than a quarter of the file is free. Below that, free pages are kept for new
        entries: giving them back and taking them again would double what is written.
        """
        return 4 * self._pragma("freelist_count") > self._pragma("page_count")

    def _pragma(self, name: str) -> int:
        value: int = self._database.execute(f"PRAGMA {name}").fetchone()[0]
        return value

    def _transaction(self) -> _Transaction:
        return _Transaction(self._database)


class _Transaction:
    """BEGIN now; COMMIT, or ROLLBACK where the block or the commit fails."""

    def __init__(self, database: sqlite3.Connection) -> None:
        self._database = database

    def __enter__(self) -> None:
        self._database.execute("BEGIN IMMEDIATE")

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            if kind is None:
                self._database.execute("COMMIT")
        finally:
            if self._database.in_transaction:
                self._database.execute("ROLLBACK")
