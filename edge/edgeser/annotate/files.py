"""Which recordings: those of a folder, of a list, or that match a pattern."""

from __future__ import annotations

import csv
import glob
import io
import os
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import msgspec
import soundfile

from edgeser.errors import UserError
from edgeser.folder import files_below, refuse
from edgeser.regular_file import regular

LISTS = (".txt", ".csv", ".jsonl")


class Recordings(NamedTuple):
    """Files by their paths below ``root``, each once; sorted, or in the order of a list."""

    root: Path
    paths: list[str]


def find(what: str) -> Recordings:
    """The recordings of a folder (all below it), a list, or a pattern with ``*``, ``**`` or ``?``.

    A list has a path on each line (``.txt``), in the column ``path`` (``.csv``) or in the field
    ``path`` (``.jsonl``), relative to its own folder. Whether a listed file is there is not asked
    here. Raises UserError where there is none, and for a folder that cannot be read.
    """
    source = Path(what)
    if source.is_dir():
        found = Recordings(source, sorted(_below(source)))
    elif source.suffix.lower() in LISTS:
        found = Recordings(source.parent, list(dict.fromkeys(_listed(source))))
    elif glob.has_magic(what):
        _check_readable(what)
        matches = (path for path in glob.glob(what, recursive=True) if os.path.isfile(path))
        found = Recordings(Path(), sorted(matches))
    elif source.exists():
        found = Recordings(source.parent, [source.name])
    else:
        raise UserError(f"{what}: not there", "name a folder, a list or a pattern in quotes")
    if not found.paths:
        raise UserError(f"{what}: no sound files in it", "name another folder, list or pattern")
    return found


def _below(folder: Path) -> Iterable[str]:
    endings = tuple(f".{name.lower()}" for name in soundfile.available_formats())
    endings += (".aif", ".oga", ".opus")
    for file in files_below(folder):
        if file.name.lower().endswith(endings):
            yield os.path.relpath(file, folder)


def _check_readable(pattern: str) -> None:
    """Raises UserError for a folder that the pattern looks into and that may not be read.

    ``glob`` leaves such a folder out without a word.
    """
    parts = Path(pattern).parts
    for depth in filter(lambda depth: glob.has_magic(parts[depth]), range(len(parts))):
        looked_into = parts[: depth + 1] if parts[depth] == "**" else parts[:depth]
        for folder in glob.glob(os.path.join(*looked_into, ""), recursive=True) or ["."]:
            try:
                os.scandir(folder).close()
            except OSError as error:
                refuse(error)


def _listed(file: Path) -> Iterable[str]:
    kind = file.suffix.lower()
    try:
        # Spreadsheets begin a CSV with a byte order mark.
        text = regular(file).read_text("utf-8-sig")
    except OSError as error:
        raise UserError(f"list {file}: {error.strerror}", "name a list that can be read") from error
    except UnicodeDecodeError as error:
        raise UserError(
            f"list {file}: no UTF-8", "save it as UTF-8 (in a spreadsheet: CSV UTF-8)"
        ) from error
    if kind == ".txt":
        yield from filter(None, (line.strip() for line in text.splitlines()))
    elif kind == ".csv":
        rows = csv.DictReader(io.StringIO(text))
        columns = rows.fieldnames or ()
        if "path" not in columns:
            raise UserError(
                f"list {file}: no column 'path'; its columns are {', '.join(columns) or 'none'}",
                "name them in the first line, with commas between them",
            )
        yield from (row["path"] for row in rows if row["path"])
    else:
        for number, line in enumerate(text.splitlines(), 1):
            try:
                yield msgspec.json.decode(line, type=_Row).path
            except msgspec.MsgspecError as error:
                raise UserError(f"list {file}, line {number}: {error}", "fix that line") from error


class _Row(msgspec.Struct):
    path: str
