"""A copy of a daemon's journal, filled by replay, for a page that cannot open the file."""

from __future__ import annotations

import math
import tempfile
from pathlib import Path
from types import TracebackType

from edgeser.events.journal.store import Entry, JournalStore
from edgeser.events.schema import StatusEvent, is_kept, topic_of
from edgeser.events.sequence import Gap
from edgeser.events.subscribe.subscriber import Received

MAX_BYTES = 100_000_000
MAINTENANCE_ENTRIES = 512


class JournalCopy:
    """Holds the finals, speech events and faults of all runs, in a file that ends with it."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="edgeser-page-")
        self.path = Path(self._folder.name) / "journal.db"
        self.is_whole = False
        """Whether all of the daemon's journal has come: the first status follows it."""
        self._epoch = ""
        self._store: JournalStore | None = None
        self._written = 0

    def keep(self, item: Received, payload: bytes) -> None:
        """Keep an event of these types. Raises ``OSError`` or ``sqlite3.Error``."""
        self.is_whole = self.is_whole or isinstance(item, StatusEvent)
        if isinstance(item, Gap) or not is_kept(item):
            return
        store = self._opened(item.epoch)
        # The chain of entries (``after``) is only for replay, and nobody replays a copy.
        store.append([Entry(topic_of(item), item.seq, 0, item.time, payload)])
        self._written += 1
        if self._written >= MAINTENANCE_ENTRIES:
            self._written = 0
            while store.trim(MAX_BYTES, math.inf):
                pass
            self._close()  # merges SQLite's log into the file

    def close(self) -> None:
        """Remove it."""
        self._close()
        self._folder.cleanup()

    def __enter__(self) -> JournalCopy:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _opened(self, epoch: str) -> JournalStore:
        if self._store is None or epoch != self._epoch:
            self._close()
            self._store = JournalStore(self.path, epoch)
            self._epoch = epoch
        return self._store

    def _close(self) -> None:
        store, self._store = self._store, None
        if store is not None:
            store.close()
