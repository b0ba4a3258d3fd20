"""The tables on disk: one file per shard, which exists only once the shard is finished."""

from __future__ import annotations

import os
from pathlib import Path

import pyarrow
from pyarrow import parquet

from edgeser.annotate.annotator import Annotated
from edgeser.annotate.plan import Shard
from edgeser.errors import UserError
from edgeser.whole_file import whole_file


def is_finished(folder: Path, shard: Shard) -> bool:
    """Whether both of its parts are written."""
    return (folder / "segments" / shard.file_name).exists()


def rows(table: Path) -> int:
    """How many rows all parts of a table have. Raises UserError for one that cannot be read."""
    count = 0
    for part in table.glob("part-*.parquet"):
        try:
            count += parquet.read_metadata(part).num_rows
        except (OSError, pyarrow.ArrowException) as error:
            raise UserError(f"{part}: cannot be read: {error}") from error
    return count


def write(folder: Path, shard: Shard, annotated: Annotated) -> None:
    """Write a shard's parts, each whole or not at all; that of the segments, which marks the shard
    as finished, comes last.

    Raises UserError if they cannot be written.
    """
    try:
        errors = folder / "errors" / shard.file_name
        if annotated.errors.num_rows:
            _write(annotated.errors, errors)
        else:
            errors.unlink(missing_ok=True)
        _write(annotated.segments, folder / "segments" / shard.file_name)
    except OSError as error:
        why = os.strerror(error.errno) if error.errno else str(error)
        fix = "make room and run the same command again: finished shards are kept"
        raise UserError(f"{folder}: {why}", fix) from error


def _write(table: pyarrow.Table, path: Path) -> None:
    with whole_file(path) as file:
        parquet.write_table(table, file, compression="zstd")
