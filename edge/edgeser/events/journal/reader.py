"""Reading a journal: for replay while the daemon writes it, for ``edgeser events`` at any time."""

from __future__ import annotations

import errno
import os
import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

from edgeser.events.journal.file import BUSY_S, check_ours
from edgeser.events.journal.store import CACHE_KB
from edgeser.regular_file import regular

END_OF_IDS = 2**63 - 1


class Topic(NamedTuple):
    """A topic of one epoch. ``last``: number of its last entry, even if that was trimmed."""

    id: int
    name: str
    last: int


class Kept(NamedTuple):
    """An entry that is held. ``id`` grows in the order of publishing."""

    id: int
    seq: int
    after: int
    payload: bytes


class Published(NamedTuple):
    """An entry with its place in the journal: ``id`` grows in the order of publishing."""

    id: int
    topic: str
    time: float
    payload: bytes


class Extent(NamedTuple):
    """Times (Unix seconds) of the first and the last entry held, and how many they are."""

    first: float
    last: float
    entries: int


class JournalReader:
    """A journal, open for reading only. Use it in a ``with`` statement."""

    def __init__(self, path: Path) -> None:
        """Raises ``OSError``, ``ForeignFileError`` or ``sqlite3.Error``."""
        self._database = _connect(regular(path))
        try:
            check_ours(self._database)
        except BaseException:
            self._database.close()
            raise

    def close(self) -> None:
        """Close the file."""
        self._database.close()

    def __enter__(self) -> JournalReader:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def first_epoch(self) -> str | None:
        """The oldest known run."""
        row = self._database.execute("SELECT epoch FROM topics ORDER BY id LIMIT 1").fetchone()
        return row[0] if row else None

    def next_epoch(self, epoch: str) -> str | None:
        """The run after this one."""
        row = self._database.execute(
            "SELECT epoch FROM topics WHERE id > (SELECT max(id) FROM topics WHERE epoch = ?)"
            " ORDER BY id LIMIT 1",
            (epoch,),
        ).fetchone()
        return row[0] if row else None

    def topics(self, epoch: str) -> list[Topic]:
        """The topics of a run that have had entries."""
        rows = self._database.execute(
            "SELECT id, topic, last FROM topics WHERE epoch = ? AND topic != ''", (epoch,)
        )
        return [Topic(*row) for row in rows]

    def knows(self, epoch: str) -> bool:
        """Whether this run had this journal."""
        row = self._database.execute("SELECT 1 FROM topics WHERE epoch = ? LIMIT 1", (epoch,))
        return row.fetchone() is not None

    def entries(self, topic: Topic, after: int, until: int) -> Iterator[Kept]:
        """The entries of a topic with ``after`` < seq <= ``until``, in order."""
        rows = self._database.execute(
            "SELECT id, seq, after, payload FROM events"
            " WHERE topic_id = ? AND seq > ? AND seq <= ? ORDER BY seq",
            (topic.id, after, until),
        )
        return map(Kept._make, rows)

    def before_next(self, topic: Topic, seq: int) -> int | None:
        """Number of the entry before the first one held after ``seq``; None if none is held."""
        row = self._database.execute(
            "SELECT after FROM events WHERE topic_id = ? AND seq > ? ORDER BY seq LIMIT 1",
            (topic.id, seq),
        ).fetchone()
        return row[0] if row else None

    def before_time(self, topic: Topic, moment: float) -> int:
        """Number of a topic's last entry that was published before a moment."""
        row = self._database.execute(
            "SELECT after FROM events WHERE topic_id = ? AND time >= ? ORDER BY seq LIMIT 1",
            (topic.id, moment),
        ).fetchone()
        return row[0] if row else topic.last

    def payloads(
        self, prefixes: Sequence[str] = ("",), since: float = 0.0, before: float = float("inf")
    ) -> Iterator[bytes]:
        """All events of some topics with ``since`` <= time < ``before``, as they were published."""
        rows = self._database.execute(
            "SELECT topic, payload FROM events JOIN topics ON topics.id = topic_id"
            " WHERE time >= ? AND time < ? ORDER BY events.id",
            (since, before),
        )
        return (payload for topic, payload in rows if topic.startswith(tuple(prefixes)))

    def published(
        self,
        since: float = 0.0,
        before: float = float("inf"),
        *,
        beyond: int | None = None,
        newest_first: bool = False,
    ) -> Iterator[Published]:
        """Events of all topics and runs with ``since`` <= time < ``before``.

        ``beyond``: only those that come after the entry of this id, in the order asked for.
        """
        first, last = (0, beyond) if newest_first else (beyond, None)
        rows = self._database.execute(
            "SELECT events.id, topic, time, payload FROM events"
            " JOIN topics ON topics.id = topic_id"
            " WHERE events.id > :first AND events.id < :last AND time >= :since AND time < :before"
            f" ORDER BY events.id {'DESC' if newest_first else 'ASC'}",
            {
                "first": first or 0,
                "last": END_OF_IDS if last is None else last,
                "since": since,
                "before": before,
            },
        )
        return map(Published._make, rows)

    def extent(self) -> Extent | None:
        """The extent of the journal over all runs; None if it is empty."""
        first, last, count = self._database.execute(
            "SELECT (SELECT time FROM events ORDER BY id LIMIT 1),"
            " (SELECT time FROM events ORDER BY id DESC LIMIT 1), (SELECT count(*) FROM events)"
        ).fetchone()
        return Extent(first, last, count) if count else None


def _connect(path: Path) -> sqlite3.Connection:
    """Without write permission, SQLite opens a journal that nobody writes only as ``immutable``.
    It does not report a missing read permission as such, so that is checked here."""
    locator = f"file:{quote(os.fsencode(path))}?mode=ro"
    try:
        return _open(locator)
    except sqlite3.OperationalError:
        if not os.access(path, os.R_OK, effective_ids=True):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path)) from None
        if path.with_name(path.name + "-wal").exists():
            raise
        return _open(locator + "&immutable=1")


def _open(locator: str) -> sqlite3.Connection:
    database = sqlite3.connect(locator, uri=True, isolation_level=None, timeout=BUSY_S)
    try:
        database.execute(f"PRAGMA cache_size = -{CACHE_KB}")
        database.execute("SELECT count(*) FROM sqlite_master").fetchone()
    except BaseException:
        database.close()
        raise
    return database
