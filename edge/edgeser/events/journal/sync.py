"""Brings the journal from memory to the disk, so that its writer need not wait for it."""

from __future__ import annotations

import logging
import os
import sqlite3
import threading
from contextlib import closing, suppress
from pathlib import Path

log = logging.getLogger(__name__)

SYNC_INTERVAL_S = 5.0
"""A loss of power costs the journal what it was given in the last so many seconds."""

CHECKPOINT_BYTES = 4_000_000
"""A log longer than this is merged into the file."""


class JournalSync:
    """A thread that sleeps until told that there is something new."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._log = path.with_name(path.name + "-wal")
        self._needed = threading.Event()
        self._closing = threading.Event()
        self._complained = ""
        self._thread = threading.Thread(target=self._run, name="journal-sync", daemon=True)
        self._thread.start()

    def is_needed(self) -> None:
        """Something was written."""
        self._needed.set()

    def close(self) -> None:
        """End soon; does not wait for the disk."""
        self._closing.set()
        self._needed.set()

    def _run(self) -> None:
        while True:
            self._needed.wait()
            if self._closing.wait(SYNC_INTERVAL_S):
                return
            self._needed.clear()
            try:
                self._to_disk()
                self._complained = ""
            except (OSError, sqlite3.Error) as error:
                self._complain(error)

    def _to_disk(self) -> None:
        with suppress(FileNotFoundError):  # no log: all of it is in the file
            for path in (self._log, self._path.parent):
                descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
                try:
                    os.fdatasync(descriptor)
                finally:
                    os.close(descriptor)
            if self._log.stat().st_size >= CHECKPOINT_BYTES:
                with closing(sqlite3.connect(self._path, isolation_level=None)) as database:
                    database.execute("PRAGMA synchronous = NORMAL")
                    database.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()

    def _complain(self, error: Exception) -> None:
        if str(error) != self._complained:  # the same again is not worth a line
            self._complained = str(error)
            log.warning("the journal %s may not be on the disk yet: %s", self._path, error)
