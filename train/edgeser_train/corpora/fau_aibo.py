"""FAU-Aibo: children who talk to a robot (Steidl 2009), in the five classes of the Interspeech
2009 emotion challenge.

The folder holds the recordings, ``Ohm_01_000_00.wav``, and ``chunk_labels_5cl_corpus.txt``, at any
depth, with a line for each: name, class and confidence, e.g. ``Ohm_01_000_00 N 0.54``. The children
of the school Ohm train, those of Mont test: protocol ``fixed``. The confidence is the agreement.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from edgeser.errors import UserError
from edgeser_train.corpora.corpus import Corpus, Release, Utterance, reading
from edgeser_train.corpora.folder import RESTORE, check_complete, check_counts, sound_files

LICENCE = "LicenseRef-FAU-Aibo"
LABELS_FILE = "chunk_labels_5cl_corpus.txt"
LABEL_OF_LETTER = {
    "A": "angry",
    "E": "emphatic",
    "N": "neutral",
    "P": "positive",
    "R": "rest",
}
PARTS = {"Ohm": "train", "Mont": "test"}
COUNTS = {
    "train angry": 881,
    "train emphatic": 2093,
    "train neutral": 5590,
    "train positive": 674,
    "train rest": 721,
    "test angry": 611,
    "test emphatic": 1508,
    "test neutral": 5377,
    "test positive": 215,
    "test rest": 546,
}

_STEM = re.compile(r"(Ohm|Mont)_\d\d_\d\d\d_\d\d")


def load(folder: Path, expected: Mapping[str, int] = COUNTS) -> Corpus:
    """All utterances, in the order of the labels file. Speakers are e.g. "Ohm_01".

    Raises UserError for a missing file, a malformed line, and other counts than ``expected``.
    """
    name = "fau-aibo"
    found = sound_files(name, folder, _STEM)
    files = sorted(folder.rglob(LABELS_FILE))
    if not files:
        raise UserError(
            f"corpus {name}: {folder} has no {LABELS_FILE}",
            "give the folder that holds it and the recordings",
        )
    rows = list(_rows(files[0]))
    check_complete(name, folder, {stem: label for stem, label, _ in rows}, found)
    utterances = tuple(
        Utterance(
            stem,
            found[stem],
            speaker="_".join(stem.split("_")[:2]),
            label=label,
            corpus=name,
            part=PARTS[stem.split("_")[0]],
            agreement=confidence,
        )
        for stem, label, confidence in rows
    )
    check_counts(name, folder, (f"{u.part} {u.label}" for u in utterances), expected)
    labels = tuple(sorted(LABEL_OF_LETTER.values()))
    return Corpus(name, LICENCE, labels, utterances, recordings=name)


def _rows(file: Path) -> Iterator[tuple[str, str, float]]:
    """Name, label, confidence."""
    seen = set()
    with reading(file):
        lines = file.read_text(encoding="utf-8", errors="replace").splitlines()
    for number, line in enumerate(lines, 1):
        cells = line.split()
        if not cells:
            continue
        try:
            stem, letter, confidence = cells
            row = stem, LABEL_OF_LETTER[letter], float(confidence)
        except (ValueError, KeyError):
            row = None
        if row is None or not _STEM.fullmatch(row[0]):
            raise UserError(
                f"corpus file {file} line {number}: expected a line like 'Ohm_01_000_00 N 0.54', "
                f"found '{line[:80]}'",
                RESTORE,
            )
        if row[0] in seen:
            raise UserError(
                f"corpus file {file} line {number}: {row[0]} is listed for the second time", RESTORE
            )
        seen.add(row[0])
        yield row


RELEASE = Release(load, "fau-aibo", LICENCE)
