"""What every loader does with a folder: find its sound files, and count what it found."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path

from edgeser.errors import UserError
from edgeser.folder import files_below

SUFFIXES = (".wav", ".flac")


def sound_files(corpus: str, folder: Path, stem: re.Pattern[str]) -> dict[str, Path]:
    """Path by stem of the wav and flac files, at any depth, whose whole stem matches; sorted.

    Raises UserError if it is not a folder, cannot be read, or has a recording twice.
    """
    if not folder.is_dir():
        raise UserError(
            f"corpus {corpus}: {folder} is no folder", "give the one with the wav files"
        )
    found: dict[str, Path] = {}
    for path in sorted(files_below(folder)):
        if path.suffix.lower() not in SUFFIXES or not stem.fullmatch(path.stem):
            continue
        if path.stem in found:
            raise UserError(
                f"corpus {corpus}: {path.stem} is twice in {folder}, as "
                f"{found[path.stem].relative_to(folder)} and {path.relative_to(folder)}",
                "give a folder with one copy",
            )
        found[path.stem] = path
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
            "take the complete corpus",
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
            f"corpus {corpus}: {folder} has not what it should have: {differences}",
            "take the complete corpus, unchanged",
        )


def counted(labels: Iterable[str]) -> str:
    """E.g. "angry 2, sad 1"."""
    counts = Counter(labels)
    return ", ".join(f"{label} {counts[label]}" for label in sorted(counts))


def files_in_folders(
    corpus: str, folder: Path, path_of: re.Pattern[str]
) -> list[tuple[re.Match[str], Path]]:
    """The wav and flac files, at any depth, whose parent folder and stem match ``path_of``, e.g.
    "Angry/1157_kz_acik"; sorted by that. Each with its match.

    Raises UserError if it is not a folder, cannot be read, or has a recording twice.
    """
    if not folder.is_dir():
        raise UserError(
            f"corpus {corpus}: {folder} is no folder", "give the one with the wav files"
        )
    found: dict[str, tuple[re.Match[str], Path]] = {}
    for path in sorted(files_below(folder)):
        match = path_of.fullmatch(f"{path.parent.name}/{path.stem}")
        if match is None or path.suffix.lower() not in SUFFIXES:
            continue
        if match.group() in found:
            raise UserError(
                f"corpus {corpus}: {match.group()} is twice in {folder}",
                "give a folder with one copy",
            )
        found[match.group()] = match, path
    return [found[name] for name in sorted(found)]
