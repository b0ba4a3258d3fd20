"""The lake on disk: ``TABLE/day=YYYY-MM-DD/part-….parquet``, each there when it is whole.

No event is in it twice, however often it is delivered: what a day already holds is left out before
a part is written. The same event has the same time, and so the same day.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

import pyarrow
from pyarrow import dataset, parquet

from edgeser.errors import UserError
from edgeser.events.wire.lock import FileLock, holder
from edgeser.lake.tables import KEY, Place, Sorted
from edgeser.whole_file import whole_file


class FullError(Exception):
    """The disk does not take what is to be written; one line that names the folder and why."""


class Store:
    """The folder of a lake; one process writes to it."""

    def __init__(self, folder: Path) -> None:
        """Raises UserError where another process writes to it, or we may not."""
        self.folder = folder
        path = folder / ".lake.lock"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._lock = FileLock(path)
        except BlockingIOError:
            raise UserError(
                f"lake {folder}: {holder(path)} fills it", "stop that, or name another folder"
            ) from None
        except OSError as error:
            raise UserError(f"lake {folder}: {error.strerror}", "name another folder") from error

    def add(self, messages: Sorted) -> int:
        """Write what is not there yet, so that it outlives a power cut; returns how many rows.

        Raises FullError; then some of it may be written, and all of it can be added again.
        """
        added = 0
        try:
            for place, rows in messages.rows.items():
                new = self._new(place, rows)
                if new.num_rows:
                    self._write(new, self._part_folder(place))
                    added += new.num_rows
            if messages.rejected.num_rows:
                self._write(messages.rejected, self.folder / "rejected")
        except OSError as error:
            why = os.strerror(error.errno) if error.errno else str(error)
            raise FullError(f"lake {self.folder}: {why}") from error
        return added

    def close(self) -> None:
        """Let others write to it."""
        self._lock.release()

    def _part_folder(self, place: Place) -> Path:
        return self.folder / place.table / f"day={place.day}"

    def _new(self, place: Place, rows: pyarrow.Table) -> pyarrow.Table:
        parts = sorted(map(str, self._part_folder(place).glob("part-*.parquet")))
        if not parts:
            return rows
        epochs = rows["epoch"].unique()
        there = dataset.dataset(parts, format="parquet").to_table(
            columns=list(KEY), filter=dataset.field("epoch").isin(epochs)
        )
        known = set(zip(*(there[name].to_pylist() for name in KEY), strict=True))
        keys = zip(*(rows[name].to_pylist() for name in KEY), strict=True)
        return rows.filter(pyarrow.array([key not in known for key in keys]))

    def _write(self, rows: pyarrow.Table, folder: Path) -> None:
        made = not folder.exists()
        folder.mkdir(parents=True, exist_ok=True)
        with whole_file(folder / f"part-{time.time_ns()}.parquet") as file:
            parquet.write_table(rows, file, compression="zstd")
        _sync(folder)
        if made:
            _sync(folder.parent)
            _sync(self.folder)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
