"""Deleting events from a journal on request, also while a daemon writes to it."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from edgeser.errors import UserError
from edgeser.events.journal.file import check_ours, connect, shrink
from edgeser.regular_file import regular

CHECKPOINT_WITHIN_S = 10.0
"""How long to wait for readers, which keep the log from being emptied."""

_AT_ONCE = 256
_TRY_MS = 200
"""Length of an attempt to empty the log, in which the daemon cannot write: less than it waits."""


def erase(
    path: Path,
    wanted: Callable[[str, bytes], bool],
    since: float = 0.0,
    before: float = float("inf"),
) -> int:
    """Delete the entries with ``since`` <= time < ``before`` for which ``wanted(topic, payload)``.

    Returns how many. Their bytes are overwritten, the file shrinks, and its log is emptied. A
    subscriber that asks for them later gets a gap. Raises ``OSError``, ``ForeignFileError``,
    ``sqlite3.Error``, or UserError if a reader kept the log from being emptied.
    """
    with closing(connect(regular(path))) as database:
        check_ours(database)
        rows = database.execute(
            "SELECT events.id, topic, payload FROM events JOIN topics ON topics.id = topic_id"
            " WHERE time >= ? AND time < ?",
            (since, before),
        )
        ids = [(row_id,) for row_id, topic, payload in rows if wanted(topic, payload)]
        aged = database.execute("SELECT 1 FROM sqlite_master WHERE name = 'marks'").fetchone()
        for start in range(0, len(ids), _AT_ONCE):  # a daemon writes in between
            database.execute("BEGIN IMMEDIATE")
            database.executemany("DELETE FROM events WHERE id = ?", ids[start : start + _AT_ONCE])
            if aged:  # SQLite will reuse the ids of deleted newest entries
                database.execute(
                    "DELETE FROM marks WHERE event_id > (SELECT ifnull(max(id), 0) FROM events)"
                )
            database.execute("COMMIT")
        free = database.execute("PRAGMA freelist_count").fetchone()[0]
        for _ in range(0, free, _AT_ONCE):  # here, too
            shrink(database, _AT_ONCE)
        if not _log_is_emptied(database):
            raise UserError(
                f"journal {path}: {len(ids)} events deleted, but the deleted bytes are still on "
                "the disk: another program reads the journal",
                "close it and run this again",
            )
    return len(ids)


def _log_is_emptied(database: sqlite3.Connection) -> bool:
    """Whether the log could be merged into the file; waits for readers."""
    database.execute(f"PRAGMA busy_timeout = {_TRY_MS}")
    deadline = time.monotonic() + CHECKPOINT_WITHIN_S
    while True:
        busy, _, _ = database.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        if not busy:
            return True
        if time.monotonic() > deadline:
            return False
        time.sleep(_TRY_MS / 1000)  # the daemon writes in between
