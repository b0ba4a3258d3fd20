"""The lake on disk: ``TABLE/day=YYYY-MM-DD/part-….parquet``, each written whole or not at all.

No event is in it twice, however often it is delivered: what a day already holds is left out before
a part is written. A repeated event's time may differ by some milliseconds, so near midnight the
adjacent day is searched, too. Rejected messages are not stored twice, either.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow
from pyarrow import dataset, parquet

from edgeser.errors import UserError
from edgeser.events.journal.file import move_aside
from edgeser.events.wire.lock import FileLock, holder
from edgeser.lake.tables import KEY, REJECTED_KEY, SCHEMAS, Place, Sorted
from edgeser.whole_file import ASIDE, whole_file

log = logging.getLogger(__name__)

REJECTED_FOLDER = "rejected"

MIDNIGHT = np.timedelta64(10, "s")
"""An event this close to midnight may also be in the adjacent day."""


class FullError(Exception):
    """The disk is full or fails; one line that names the folder and why."""

    def __init__(self, why: str, added: int) -> None:
        """``added``: rows that had been written by then."""
        super().__init__(why)
        self.added = added


class Store:
    """The folder of a lake; one process writes to it."""

    def __init__(self, folder: Path) -> None:
        """Raises UserError if another process writes to it, or we may not."""
        self.folder = folder
        path = folder / ".lake.lock"
        try:
            folder.mkdir(mode=0o750, parents=True, exist_ok=True)
            self._lock = FileLock(path)
            self._remove_asides()
        except BlockingIOError:
            raise UserError(
                f"lake {folder}: {holder(path)} fills it", "stop that, or name another folder"
            ) from None
        except OSError as error:
            raise UserError(f"lake {folder}: {error.strerror}", "name another folder") from error

    def add(self, messages: Sorted) -> int:
        """Write what is not there yet, synced to the disk; returns how many rows.

        Raises FullError; then some of it may be written, and all of it can be added again.
        """
        added = 0
        try:
            for place, rows in messages.rows.items():
                new = _new(rows, KEY, "epoch", self._parts(place, rows))
                if new.num_rows:
                    self._write(new, self._part_folder(place))
                    added += new.num_rows
            if messages.rejected.num_rows:
                self._keep_rejected(messages.rejected)
        except OSError as error:
            why = os.strerror(error.errno) if error.errno else str(error)
            raise FullError(f"lake {self.folder}: {why}", added) from error
        return added

    def close(self) -> None:
        """Release the lock."""
        self._lock.release()

    def _remove_asides(self) -> None:
        """Remove what killed processes left; safe, since we hold the lock."""
        for table in (*SCHEMAS, REJECTED_FOLDER):
            for aside in (self.folder / table).rglob(ASIDE):
                aside.unlink()

    def _part_folder(self, place: Place) -> Path:
        return self.folder / place.table / f"day={place.day}"

    def _parts(self, place: Place, rows: pyarrow.Table) -> list[Path]:
        """The parts that may already hold some of these rows."""
        days = (self._part_folder(place._replace(day=day)) for day in _days(place.day, rows))
        return [part for folder in days for part in _parts_in(folder)]

    def _keep_rejected(self, rows: pyarrow.Table) -> None:
        folder = self.folder / REJECTED_FOLDER
        new = _new(rows, REJECTED_KEY, "subject", _parts_in(folder))
        if new.num_rows:
            self._write(new, folder)

    def _write(self, rows: pyarrow.Table, folder: Path) -> None:
        made = not folder.exists()
        for one in (folder.parent, folder):
            one.mkdir(mode=0o750, exist_ok=True)
        with whole_file(folder / f"part-{time.time_ns()}.parquet", 0o640) as file:
            parquet.write_table(rows, file, compression="zstd")
        _sync(folder)
        if made:
            _sync(folder.parent)
            _sync(self.folder)


def _days(day: str, rows: pyarrow.Table) -> list[str]:
    """The days that may already hold some of these rows of one day."""
    times = rows["time"].to_numpy()
    around = (times.min() - MIDNIGHT, times.max() + MIDNIGHT)
    return sorted({day, *(str(np.datetime_as_string(time, unit="D")) for time in around)})


def _parts_in(folder: Path) -> list[Path]:
    return sorted(folder.glob("part-*.parquet"))


def _new(
    rows: pyarrow.Table, key: tuple[str, ...], narrow: str, parts: list[Path]
) -> pyarrow.Table:
    """The rows whose key is in none of the parts. ``narrow``: a column of the key, by whose values
    reading the parts is limited.
    """
    shared = dataset.field(narrow).isin(rows[narrow].unique())
    keys = list(_columns(rows, key))
    wanted = set(keys)  # of the parts' keys, only these are kept in memory
    known = {found for part in parts for found in _keys(part, key, shared) if found in wanted}
    return rows.filter(pyarrow.array([one not in known for one in keys], pyarrow.bool_()))


def _columns(rows: pyarrow.Table, names: tuple[str, ...]) -> Iterator[tuple[object, ...]]:
    return zip(*(rows[name].to_pylist() for name in names), strict=True)


def _keys(
    part: Path, key: tuple[str, ...], shared: dataset.Expression
) -> Iterator[tuple[object, ...]]:
    """The keys that a part holds, filtered. A part that is damaged, or not ours, is moved aside."""
    try:
        with part.open("rb") as file:  # Arrow takes some names for addresses, and refuses others
            return _columns(parquet.read_table(file, columns=list(key), filters=shared), key)
    except (OSError, ValueError, TypeError, NotImplementedError) as error:  # as Arrow finds it
        if isinstance(error, OSError) and error.errno:
            raise
        aside = move_aside(part)
        log.warning("%s: damaged, or not a part of a lake; it is now %s", part, aside.name)
        return iter(())


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
