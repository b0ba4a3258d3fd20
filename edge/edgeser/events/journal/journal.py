"""The journal: keeps finals, speech and faults, and never holds up an event.

Only its own thread touches the file. ``keep`` waits for the file, so that an event is in it before
it is published, but not for long: a disk that is full, broken or stuck costs the journal, not the
events. The file is then tried again and again, and what was published meanwhile is written after
all, as far as memory for it lasted.
"""

from __future__ import annotations

import logging
import sqlite3
import threading
import time
from collections import deque
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from edgeser.events.journal.file import ForeignFileError, in_words, is_corrupt, move_aside
from edgeser.events.journal.store import Entry, JournalStore
from edgeser.events.journal.sync import JournalSync
from edgeser.events.schema import FaultCode, JournalRange

log = logging.getLogger(__name__)

PATIENCE_S = 1.0
"""How long ``keep`` waits for the file before the journal counts as off."""

RETRY_S = 5.0
"""Interval of attempts to write a journal that is off."""

MAINTENANCE_S = 60.0
"""Interval of trimming the journal to its bounds; also done every ``MAINTENANCE_ENTRIES`` entries.
"""

MAINTENANCE_ENTRIES = 256

MAX_WAITING = 4096
"""Most entries held in memory while the file cannot be written (about 5 MB); the oldest go first.
"""

CLOSE_S = 1.5
"""How long ``close`` waits for the disk."""

_AT_ONCE = 256
_DAY_S = 86_400.0


class JournalNews(NamedTuple):
    """A change for the worse or the better, to be published as a fault."""

    code: FaultCode
    message: str
    recovered: bool


class JournalPlace(NamedTuple):
    """Where a journal is, how much it may hold, and how often a file that fails is tried again."""

    path: Path
    max_days: float = 30.0
    max_mb: float = 100.0
    retry_s: float = RETRY_S


class Journal:
    """The journal of one run of the daemon. Thread-safe."""

    def __init__(self, place: JournalPlace, epoch: str) -> None:
        """Start its thread, which opens the file or makes it; raises nothing."""
        self.path = path = place.path
        self._epoch = epoch
        self._max_age_s = place.max_days * _DAY_S
        self._max_bytes = int(place.max_mb * 1_000_000)
        self._retry_s = place.retry_s
        self._changed = threading.Condition()
        self._waiting: deque[Entry] = deque()
        self._handed_over = 0
        self._settled = 0  # kept in the file, or given up
        self._lost = 0
        self._trouble = ""
        self._news: list[JournalNews] = []
        self._ranges: dict[str, JournalRange] = {}
        self._closing = False
        self._tried_last = False
        self._broken = False
        self._retry_now = False
        self._aside_at = -1e9
        self._store: JournalStore | None = None
        self._sync = JournalSync(path)
        self._thread = threading.Thread(target=self._run, name="journal", daemon=True)
        self._thread.start()

    def keep(self, entry: Entry) -> None:
        """Keep an entry; returns once the file has it, or after ``PATIENCE_S`` or a failure."""
        with self._changed:
            self._waiting.append(entry)
            self._handed_over += 1
            if len(self._waiting) > MAX_WAITING:
                self._waiting.popleft()
                self._settled += 1
                self._lost += 1
            number = self._handed_over
            self._changed.notify_all()
            done = self._changed.wait_for(
                lambda: self._settled >= number or self._trouble, PATIENCE_S
            )
            if not done:
                self._turn_off(f"{self.path}: the disk does not answer")

    def await_open(self) -> None:
        """Wait until the file knows this run, or for ``PATIENCE_S`` or a failure."""
        with self._changed:
            self._changed.wait_for(lambda: self._store or self._trouble, PATIENCE_S)

    def ranges(self) -> dict[str, JournalRange]:
        """First and last number held of each topic of this epoch; empty while off."""
        with self._changed:
            return {} if self._trouble else dict(self._ranges)

    @property
    def is_off(self) -> bool:
        """The file cannot be written at present."""
        return bool(self._trouble)

    def news(self) -> list[JournalNews]:
        """The changes since the last call."""
        with self._changed:
            news, self._news = self._news, []
        return news

    def report_corruption(self) -> None:
        """A reader has found the file corrupt: have it moved aside."""
        with self._changed:
            self._broken = not self._trouble
            self._changed.notify_all()

    def close(self) -> None:
        """Write what waits, for ``CLOSE_S`` at most, and close the file."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        self._thread.join(CLOSE_S)
        if self._thread.is_alive():
            log.warning("the journal %s has not closed within %g s", self.path, CLOSE_S)

    # In the journal's thread

    def _run(self) -> None:
        maintained_at = written = 0.0
        try:
            while self._await_work(maintained_at + MAINTENANCE_S):
                try:
                    self._check_readers()
                    store = self._open()
                    written += self._write(store)
                    due = time.monotonic() >= maintained_at + MAINTENANCE_S
                    if due or written >= MAINTENANCE_ENTRIES:
                        self._maintain(store)
                        maintained_at, written = time.monotonic(), 0
                except (OSError, sqlite3.Error, ForeignFileError) as error:
                    self._failed(error)
        except Exception:
            log.exception("the journal's thread has failed")
            with self._changed:
                self._turn_off(f"{self.path}: a defect of edgeser; see the log")
        finally:
            self._sync.close()
            self._close_store()

    def _await_work(self, maintenance_at: float) -> bool:
        """Wait for something to do; returns whether to go on."""
        with self._changed:
            if self._trouble and not self._closing and not self._retry_now:
                self._changed.wait_for(lambda: self._closing, self._retry_s)
            elif self._store is not None and not self._broken:
                self._changed.wait_for(
                    lambda: self._waiting or self._closing or self._broken,
                    max(0.0, maintenance_at - time.monotonic()),
                )
            self._retry_now = False
            if not self._closing:
                return True
            tried, self._tried_last = self._tried_last, True
            return bool(self._waiting) and not tried

    def _check_readers(self) -> None:
        """Raises sqlite3.DatabaseError if a reader has reported the file as corrupt."""
        with self._changed:
            broken, self._broken = self._broken, False
        if broken:
            raise sqlite3.DatabaseError("a reader finds it corrupt")

    def _open(self) -> JournalStore:
        if self._store is not None and not self._store.is_current():
            self._close_store()
            raise FileNotFoundError(0, "it was removed; a new one is made", str(self.path))
        if self._store is None:
            self._store = JournalStore(self.path, self._epoch)
            with self._changed:
                self._ranges = self._store.ranges()
                self._changed.notify_all()
        return self._store

    def _write(self, store: JournalStore) -> int:
        """Write all waiting entries into the file; returns their number."""
        written = 0
        while True:
            with self._changed:
                batch = list(islice(self._waiting, _AT_ONCE))
            if batch:
                store.append(batch)
                self._sync.request_sync()
            with self._changed:
                self._settle(batch)
                if not self._waiting:
                    self._turn_on()
                    return written + len(batch)
            written += len(batch)

    def _settle(self, batch: list[Entry]) -> None:
        for entry in batch:
            known = self._ranges.get(entry.topic)
            first = known.first if known else entry.seq
            self._ranges[entry.topic] = JournalRange(first, entry.seq)
            if self._waiting and self._waiting[0] is entry:
                self._waiting.popleft()
                self._settled += 1
        self._changed.notify_all()

    def _maintain(self, store: JournalStore) -> None:
        may_be_more = True
        while may_be_more:
            may_be_more = store.trim(self._max_bytes, self._max_age_s)
            self._sync.request_sync()  # its clock was written, if nothing else
            with self._changed:
                if self._waiting or self._closing:
                    break
        with self._changed:
            self._ranges = store.ranges()

    def _failed(self, error: Exception) -> None:
        if is_corrupt(error):
            self._set_aside(error)
            return
        with self._changed:
            self._turn_off(in_words(error, self.path))
        # Whatever is wrong, reopening the file is the surest way to recover.
        self._close_store()

    def _set_aside(self, error: Exception) -> None:
        self._close_store()
        try:
            aside = move_aside(self.path)
            message = f"{in_words(error, self.path)}; it is now {aside.name} and a new one is made"
        except OSError as failure:
            message = f"{in_words(error, self.path)}; {in_words(failure, self.path)}"
            with self._changed:
                self._turn_off(message)
            return
        with self._changed:
            self._turn_off(message)
            # Make the new one at once, even if this run is about to end.
            if time.monotonic() >= self._aside_at + self._retry_s:
                self._retry_now, self._tried_last = True, False
            self._aside_at = time.monotonic()

    def _close_store(self) -> None:
        store, self._store = self._store, None
        try:
            if store is not None:
                store.close()
        except (OSError, sqlite3.Error) as error:
            log.warning("the journal cannot be closed: %s", in_words(error, self.path))

    # Under the lock

    def _turn_off(self, message: str) -> None:
        if not self._trouble:
            self._news.append(JournalNews("journal_off", message, False))
        self._trouble = message
        self._changed.notify_all()

    def _turn_on(self) -> None:
        if self._trouble:
            self._trouble = ""
            lost = f"; {self._lost} entries of the meantime are lost" if self._lost else ""
            self._lost = 0
            message = f"{self.path} is written again{lost}"
            self._news.append(JournalNews("journal_restored", message, True))
