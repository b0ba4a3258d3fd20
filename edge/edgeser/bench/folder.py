"""Sound files in a folder: by class, by name, or a random choice."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from edgeser.errors import UserError
from edgeser.folder import files_below
from edgeser.paths import as_utf8

SOUND_SUFFIXES = (".flac", ".ogg", ".wav")


def noise_classes(folder: Path) -> dict[str, list[Path]]:
    """The sounds in a folder by its subfolders, or all as one class, by names in UTF-8.

    Raises UserError.
    """
    files = sounds_in(folder)
    classes: dict[str, list[Path]] = {}
    for file in files:
        name = file.relative_to(folder).parent.as_posix()
        classes.setdefault(as_utf8(folder.name if name == "." else name), []).append(file)
    return classes


def sounds_in(folder: Path) -> list[Path]:
    """All sound files in a folder and below it.

    Raises UserError when there are none, and for a folder that cannot be read.
    """
    files = sorted(path for path in files_below(folder) if path.suffix.lower() in SOUND_SUFFIXES)
    if not files:
        kinds = ", ".join(SOUND_SUFFIXES)
        raise UserError(f"{folder}: no sound files in it", f"give a folder that holds {kinds}")
    return files


def drawn(files: Sequence[Path], number: int, seed: int) -> list[Path]:
    """At most ``number`` of the files, drawn at random with the seed."""
    chosen = np.random.default_rng(seed).permutation(len(files))[:number]
    return [files[i] for i in sorted(chosen)]


def with_name(files: Sequence[Path], pattern: str) -> list[Path]:
    """The files whose name matches a regular expression. Raises UserError for an invalid one."""
    try:
        return [file for file in files if re.search(pattern, file.name)]
    except re.error as error:
        raise UserError(
            f"{pattern!r} is not a regular expression ({error})", "give another"
        ) from error
