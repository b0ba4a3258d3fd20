"""What every loader does with a folder: find its sound files, and count what it found."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from edgeser.errors import UserError
from edgeser.folder import files_below

SUFFIXES = (".wav", ".flac")
RESTORE = "restore the file as the corpus has it"
"""The fix for a file that was changed."""


def sound_files(corpus: str, folder: Path, stem: re.Pattern[str]) -> dict[str, Path]:
    """Path by stem of the wav and flac files, at any depth, whose whole stem matches; sorted.

    Raises UserError if it is not a folder, cannot be read, or has a recording twice.
    """
    return _files(corpus, folder, stem, lambda path: path.stem)


def files_in_folders(
    corpus: str, folder: Path, path_of: re.Pattern[str]
) -> list[tuple[re.Match[str], Path]]:
    """The wav and flac files, at any depth, whose parent folder and stem match ``path_of``, e.g.
    "Angry/1157_kz_acik"; sorted by that. Each with its match. Raises UserError as ``sound_files``.
    """
    found = _files(corpus, folder, path_of, lambda path: f"{path.parent.name}/{path.stem}")
    matches = (path_of.fullmatch(name) for name in sorted(found))
    return [(match, found[match.group()]) for match in matches if match]


def _files(
    corpus: str, folder: Path, pattern: re.Pattern[str], name_of: Callable[[Path], str]
) -> dict[str, Path]:
    if not folder.is_dir():
        raise UserError(
            f"corpus {corpus}: {folder} is not a folder", "give the one with its recordings"
        )
    found: dict[str, Path] = {}
    for path in sorted(files_below(folder)):
        name = name_of(path)
        if path.suffix.lower() not in SUFFIXES or not pattern.fullmatch(name):
            continue
        if name in found:
            raise UserError(
                f"corpus {corpus}: {name} is twice in {folder}, as "
                f"{found[name].relative_to(folder)} and {path.relative_to(folder)}",
                "remove one",
            )
        found[name] = path
    return found


def check_complete(
    corpus: str, folder: Path, wanted: Mapping[str, str], found: Mapping[str, Path]
) -> None:
    """``wanted``: label by stem. Raises UserError with the number of missing files by label."""
    missing = [name for name in wanted if name not in found]
    if missing:
        raise UserError(
            f"corpus {corpus}: {folder} lacks {len(missing)} of the {len(wanted)} recordings "
            f"({counted(wanted[name] for name in missing)}), first {', '.join(missing[:5])}",
            "give the folder of the complete corpus",
        )


def check_counts(
    corpus: str, folder: Path, found: Iterable[str], expected: Mapping[str, int]
) -> None:
    """``found``: the kind of each utterance, e.g. its class.

    Raises UserError that names every kind of which there are more or fewer than expected.
    """
    counts = Counter(found)
    kinds = sorted(expected.keys() | counts.keys())
    wrong = [kind for kind in kinds if counts[kind] != expected.get(kind, 0)]
    if wrong:
        differences = ", ".join(
            f"{kind} {counts[kind]} of {expected.get(kind, 0)}" for kind in wrong
        )
        raise UserError(
            f"corpus {corpus}: {folder} is incomplete, or was changed: {differences}",
            "give the folder of the complete, unchanged corpus",
        )


def counted(labels: Iterable[str]) -> str:
    """E.g. "angry 2, sad 1"."""
    counts = Counter(labels)
    return ", ".join(f"{label} {counts[label]}" for label in sorted(counts))
