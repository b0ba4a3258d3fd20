"""RAVDESS, the speech of its 24 actors (Livingstone & Russo 2018).

A file's name is ``03-01-EE-II-SS-RR-AA``: emotion, intensity, statement, repetition, actor. There
is about one second of silence at both ends, so every recording is trimmed to its speech when it is
read; the low level stays, for the front end to normalise. Songs (``03-02-``) are passed over.
Models that have learnt from it carry its licence: not commercial, share alike.
"""

from __future__ import annotations

import itertools
import re
from pathlib import Path

from edgeser.errors import UserError
from edgeser_train.corpora.corpus import Corpus, Release, Utterance
from edgeser_train.corpora.folder import check_complete, sound_files

LICENCE = "CC-BY-NC-SA-4.0"
LABEL_OF_CODE = {
    "01": "neutral",
    "02": "calm",
    "03": "happy",
    "04": "sad",
    "05": "angry",
    "06": "fearful",
    "07": "disgusted",
    "08": "surprised",
}
FOUR = ("angry", "happy", "neutral", "sad")
SPEAKERS = tuple(f"{actor:02}" for actor in range(1, 25))
IDENTICAL = ("03-01-03-01-02-01-07", "03-01-03-01-02-02-07")
"""The two files of this corpus that hold the same samples."""

_STEM = re.compile(r"03-01(-\d\d){5}")


def load(folder: Path) -> Corpus:
    """All eight classes: 1440 utterances. ``folder`` holds the files, or folders of them, in wav
    or flac. Raises UserError that names what is missing or does not belong there.
    """
    return _load("ravdess", folder, tuple(sorted(LABEL_OF_CODE.values())))


def load_4(folder: Path) -> Corpus:
    """Angry, happy, neutral and sad alone: 672 utterances. Raises UserError."""
    return _load("ravdess4", folder, FOUR)


def _load(name: str, folder: Path, labels: tuple[str, ...]) -> Corpus:
    found = sound_files(name, folder, _STEM)
    whole = stems()
    wanted = {stem: label for stem, label in whole.items() if label in labels}
    check_complete(name, folder, wanted, found)
    strange = [stem for stem in found if stem not in whole]
    if strange:
        raise UserError(
            f"corpus {name}: {folder} has {len(strange)} files that are not part of this corpus, "
            f"first {', '.join(strange[:5])}",
            "remove them",
        )
    utterances = tuple(
        Utterance(
            stem,
            found[stem],
            speaker=stem[-2:],
            label=label,
            corpus=name,
            gender="male" if int(stem[-2:]) % 2 else "female",
            group="identical" if stem in IDENTICAL else "",
            trim=True,
        )
        for stem, label in wanted.items()
    )
    return Corpus(name, LICENCE, labels, utterances, recordings="ravdess")


def stems() -> dict[str, str]:
    """Label by name of all 1440 recordings, sorted by name; neutral has one intensity only."""
    return {
        f"03-01-{code}-{intensity}-{statement}-{repetition}-{actor}": label
        for code, label in LABEL_OF_CODE.items()
        for intensity, statement, repetition in itertools.product(("01", "02"), repeat=3)
        if not (label == "neutral" and intensity == "02")
        for actor in SPEAKERS
    }


EIGHT_CLASSES = Release(load, "ravdess", LICENCE)
FOUR_CLASSES = Release(load_4, "ravdess", LICENCE)
