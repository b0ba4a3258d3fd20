"""Finds the recordings: those in a folder, in a list, or that match a pattern."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import soundfile

from edgeser.annotate import lists
from edgeser.errors import UserError
from edgeser.folder import files_below, refuse

FOLDER = "folder"
"""Value of ``voices`` for ``find`` with which recordings in a folder share a voice."""


class Recordings(NamedTuple):
    """Files by their paths below ``root``, each once; sorted, or in the order of a list.

    ``voices``: whose voice is in a file, by its path; a file without an entry has a voice of its
    own.
    """

    root: Path
    paths: list[str]
    voices: dict[str, str]


def find(what: str, voices: str | None = None) -> Recordings:
    """The recordings of a folder (all below it), a list, or a pattern with ``*``, ``**`` or ``?``.

    ``voices``: what tells whose voice is in each: a column or field of the list, or ``folder``;
    None if nothing does.

    Paths of a list are relative to its own folder. Whether a listed file exists is not checked
    here. Raises UserError if there is no recording, and for a folder that cannot be read.
    """
    source = Path(what)
    column = None if voices == FOLDER else voices
    said: dict[str, str] = {}
    if source.is_dir():
        root, paths = source, sorted(_below(source))
    elif source.suffix.lower() in lists.SUFFIXES:
        root, said = source.parent, _listed(source, column)
        paths, column = list(said), None
    elif glob.has_magic(what):
        _check_readable(what)
        matches = (path for path in glob.glob(what, recursive=True) if os.path.isfile(path))
        root, paths = Path(), sorted(matches)
    elif source.exists():
        root, paths = source.parent, [source.name]
    else:
        raise UserError(f"{what}: not there", "name a folder, a list or a pattern in quotes")
    if not paths:
        raise UserError(f"{what}: no sound files in it", "name another folder, list or pattern")
    if column is not None:
        raise UserError(
            f"--voices {column}: {what} is not a list", "name a list, or --voices folder"
        )
    if voices == FOLDER:
        said = {path: os.path.normpath(os.path.dirname(path)) for path in paths}
    return Recordings(root, paths, {path: voice for path, voice in said.items() if voice})


def _listed(file: Path, column: str | None) -> dict[str, str]:
    """Voices by paths, in the list's order. Raises UserError for a path with two voices."""
    said: dict[str, str] = {}
    for path, voice in lists.entries(file, column):
        if said.setdefault(path, voice) != voice:
            raise UserError(
                f"list {file}: {path} has the voices '{said[path]}' and '{voice}'",
                "give it one, or none",
            )
    return said


def _below(folder: Path) -> Iterable[str]:
    endings = tuple(f".{name.lower()}" for name in soundfile.available_formats())
    endings += (".aif", ".oga", ".opus")
    for file in files_below(folder):
        if file.name.lower().endswith(endings):
            yield os.path.relpath(file, folder)


def _check_readable(pattern: str) -> None:
    """Raises UserError for an unreadable folder that the pattern would search.

    ``glob`` skips such a folder silently.
    """
    parts = Path(pattern).parts
    for depth in filter(lambda depth: glob.has_magic(parts[depth]), range(len(parts))):
        looked_into = parts[: depth + 1] if parts[depth] == "**" else parts[:depth]
        for folder in glob.glob(os.path.join(*looked_into, ""), recursive=True) or ["."]:
            try:
                os.scandir(folder).close()
            except OSError as error:
                refuse(error)
