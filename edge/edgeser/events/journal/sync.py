"""Flushes the journal to the disk, so that its writer need not wait for that."""

from __future__ import annotations

import logging
import os
import threading
from contextlib import closing, suppress
from pathlib import Path

from edgeser.events.journal.file import connect

log = logging.getLogger(__name__)

SYNC_INTERVAL_S = 5.0
"""A loss of power costs the journal the entries of the last so many seconds."""

CHECKPOINT_BYTES = 4_000_000
"""A log longer than this is merged into the file and truncated at once, not after the interval."""

CUT_BUSY_S = 0.1
"""How long the truncation waits for the writer; it is tried again with the next entry."""


class JournalSync:
    """A thread that sleeps until a sync is requested."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._log = path.with_name(path.name + "-wal")
        self._needed = threading.Event()
        self._hurry = threading.Event()
        self._closing = False
        self._complained = ""
        self._thread = threading.Thread(target=self._run, name="journal-sync", daemon=True)
        self._thread.start()

    def request_sync(self) -> None:
        """Flush what was written within ``SYNC_INTERVAL_S``."""
        self._needed.set()
        if self._log_bytes() >= CHECKPOINT_BYTES:
            self._hurry.set()

    def close(self) -> None:
        """End soon; does not wait for the disk."""
        self._closing = True
        self._needed.set()
        self._hurry.set()

    def _run(self) -> None:
        while True:
            self._needed.wait()
            self._hurry.wait(SYNC_INTERVAL_S)
            if self._closing:
                return
            self._needed.clear()
            self._hurry.clear()
            try:
                self._to_disk()
                self._complained = ""
            except Exception as error:  # whatever it is, the next attempt may succeed
                self._complain(error)

    def _to_disk(self) -> None:
        with suppress(FileNotFoundError):  # no log: all of it is in the file
            for path in (self._log, self._path.parent):
                descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
                try:
                    os.fdatasync(descriptor)
                finally:
                    os.close(descriptor)
        if self._log_bytes() >= CHECKPOINT_BYTES:
            with closing(connect(self._path)) as database:
                database.execute("PRAGMA synchronous = NORMAL")
                # First most of it, while the writer writes on; then the little that is left and
                # the truncation, for which the writer waits.
                database.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
                database.execute(f"PRAGMA busy_timeout = {round(CUT_BUSY_S * 1000)}")
                database.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
            if self._log_bytes() >= CHECKPOINT_BYTES:  # a reader still needs it
                self._needed.set()

    def _log_bytes(self) -> int:
        try:
            return self._log.stat().st_size
        except OSError:  # no log: all of it is in the file
            return 0

    def _complain(self, error: Exception) -> None:
        if str(error) != self._complained:  # log a repeated error once
            self._complained = str(error)
            log.warning("the journal %s may not be on the disk yet: %s", self._path, error)
