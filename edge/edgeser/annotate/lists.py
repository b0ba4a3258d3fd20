"""Lists of recordings: the path of each and, on request, whose voice is in it."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from edgeser.errors import UserError
from edgeser.regular_file import regular

SUFFIXES = (".txt", ".csv", ".jsonl")


class Entry(NamedTuple):
    """A recording. ``voice``: empty if unknown."""

    path: str
    voice: str = ""


def entries(file: Path, voices: str | None = None) -> Iterator[Entry]:
    """The entries of a list: a path on each line (``.txt``), in the column ``path`` (``.csv``) or
    in the field ``path`` (``.jsonl``).

    ``voices``: the column or field with the voice. Raises UserError for a list that cannot be read,
    or that has no such column.
    """
    kind = file.suffix.lower()
    try:
        # Spreadsheets begin a CSV with a byte order mark.
        text = regular(file).read_text("utf-8-sig")
    except OSError as error:
        raise UserError(f"list {file}: {error.strerror}", "name a list that can be read") from error
    except UnicodeDecodeError as error:
        raise UserError(
            f"list {file}: not UTF-8", "save it as UTF-8 (in a spreadsheet: CSV UTF-8)"
        ) from error
    if kind == ".csv":
        return _rows(file, text, voices)
    if kind == ".jsonl":
        return _objects(file, text, voices)
    if voices is not None:
        raise UserError(f"--voices {voices}: list {file} has no columns", "give a CSV with them")
    return (Entry(line.strip()) for line in text.splitlines() if line.strip())


def _rows(file: Path, text: str, voices: str | None) -> Iterator[Entry]:
    rows = csv.DictReader(io.StringIO(text), strict=True)
    try:
        columns = rows.fieldnames or ()
        _check_column(file, "path", columns)
        if voices is not None:
            _check_column(file, voices, columns)
        for row in rows:
            if row["path"]:
                yield Entry(row["path"], (row[voices] or "").strip() if voices else "")
    except csv.Error as error:
        where = f"list {file}, line {rows.line_num + 1}"
        raise UserError(f"{where}: {error}", "see that every quote is closed") from error


def _check_column(file: Path, name: str, columns: Sequence[str]) -> None:
    if name not in columns:
        raise UserError(
            f"list {file}: no column '{name}'; its columns are {', '.join(columns) or 'none'}",
            "name them in the first line, with commas between them",
        )


def _objects(file: Path, text: str, voices: str | None) -> Iterator[Entry]:
    for number, line in enumerate(text.splitlines(), 1):
        where = f"list {file}, line {number}"
        try:
            fields = msgspec.json.decode(line, type=dict[str, Any])
        except msgspec.MsgspecError as error:
            raise UserError(f"{where}: {error}", "fix that line") from error
        for name, kinds in (("path", str), (voices, str | int | float | None)):
            if name is not None and not (name in fields and isinstance(fields[name], kinds)):
                raise UserError(f"{where}: no field '{name}', or no text in it", "fix that line")
        voice = None if voices is None else fields[voices]
        yield Entry(fields["path"], "" if voice is None else str(voice).strip())
