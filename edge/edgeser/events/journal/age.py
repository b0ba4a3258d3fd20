"""How old entries are, whatever happens to the system's clock.

The journal has a clock of its own, which starts at 0 with the file. While the machine is up it
follows the time since boot, so a step of the system's clock does not matter. Only for the time that
the machine was off must the system's clock be trusted.
"""

from __future__ import annotations

import sqlite3
import time
from pathlib import Path
from typing import NamedTuple

MARKS = 1000
"""Steps into which the maximum age is divided: the precision with which entries expire."""

MIN_MARK_S = 1.0

TABLES = """
CREATE TABLE IF NOT EXISTS clock (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    journal_s REAL NOT NULL,    -- the journal's clock
    boot TEXT NOT NULL,         -- at that time: which boot of the machine,
    up_s REAL NOT NULL,         -- how long it was up,
    unix_s REAL NOT NULL        -- and the system's clock
);
CREATE TABLE IF NOT EXISTS marks (
    event_id INTEGER PRIMARY KEY,  -- this entry and those before it
    journal_s REAL NOT NULL        -- were kept by then
);
"""


class Now(NamedTuple):
    """A point in time, as the machine knows it."""

    boot: str
    up_s: float
    unix_s: float

    def since(self, earlier: Now) -> float:
        """Seconds since ``earlier``."""
        if self.boot == earlier.boot:
            return max(0.0, self.up_s - earlier.up_s)
        return max(self.up_s, self.unix_s - earlier.unix_s)


def now() -> Now:
    """The present; time in suspend counts."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        boot = ""
    return Now(boot, time.clock_gettime(time.CLOCK_BOOTTIME), time.time())


class Ages:
    """The journal's clock, and when entries were kept. To be used in the writer's transactions."""

    def __init__(self, database: sqlite3.Connection, at: Now) -> None:
        """Go on with the clock of the file, or begin one."""
        self._database = database
        for statement in TABLES.split(";\n")[:-1]:
            database.execute(statement)
        row = database.execute("SELECT journal_s, boot, up_s, unix_s FROM clock").fetchone()
        self._journal_s: float = row[0] if row else 0.0
        self._at = Now(*row[1:]) if row else at
        if row is None:
            self._mark_the_past(at)
        self._marked_s = database.execute("SELECT max(journal_s) FROM marks").fetchone()[0]
        self._mark()  # what the last run left unmarked, before the time since is added
        self._go_on(at)

    def mark(self, at: Now, max_age_s: float) -> None:
        """Note, at intervals, by what time the newest entry had been kept."""
        self._go_on(at)
        step_s = max(MIN_MARK_S, max_age_s / MARKS)
        if self._marked_s is None or self._journal_s >= self._marked_s + step_s:
            self._marked_s = self._journal_s
            self._mark()

    def last_older(self, max_age_s: float) -> int:
        """The newest entry that is older; 0 for none."""
        query = "SELECT max(event_id) FROM marks WHERE journal_s < ?"
        found: int | None = self._database.execute(
            query, (self._journal_s - max_age_s,)
        ).fetchone()[0]
        return found or 0

    def forget(self, through: int) -> None:
        """Entries up to this one are gone."""
        self._database.execute("DELETE FROM marks WHERE event_id <= ?", (through,))

    def _mark(self) -> None:
        self._database.execute(
            "INSERT OR IGNORE INTO marks SELECT id, ? FROM events ORDER BY id DESC LIMIT 1",
            (self._journal_s,),
        )

    def _go_on(self, at: Now) -> None:
        self._journal_s += at.since(self._at)
        self._at = at
        self._database.execute(
            "INSERT OR REPLACE INTO clock VALUES (1, ?, ?, ?, ?)", (self._journal_s, *at)
        )

    def _mark_the_past(self, at: Now) -> None:
        """For a file from before this clock: entries are as old as their timestamps say, but no
        older than those before them."""
        self._database.execute(
            "INSERT INTO marks SELECT id, max(s) OVER (ORDER BY id) FROM (SELECT max(id) AS id,"
            " min(0.0, max(time) - ?) AS s FROM events GROUP BY CAST(time / 3600 AS INTEGER))",
            (at.unix_s,),
        )
