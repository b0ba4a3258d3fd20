"""CREMA-D: 91 actors say twelve sentences in six emotions (Cao et al. 2014).

A file's name is ``1001_DFA_ANG_XX``: actor, sentence, emotion, intensity. There is silence at both
ends: every recording is trimmed to its speech when it is read.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from edgeser_train.corpora.corpus import Corpus, Release, Utterance
from edgeser_train.corpora.folder import check_counts, sound_files

LICENCE = "ODbL-1.0"
LABEL_OF_CODE = {
    "ANG": "angry",
    "DIS": "disgusted",
    "FEA": "fearful",
    "HAP": "happy",
    "NEU": "neutral",
    "SAD": "sad",
}
FOUR = ("angry", "happy", "neutral", "sad")
COUNTS = {
    "angry": 1271,
    "disgusted": 1271,
    "fearful": 1271,
    "happy": 1271,
    "neutral": 1087,
    "sad": 1271,
    "speakers": 91,
}

_STEM = re.compile(r"(\d{4})_[A-Z]{3}_(ANG|DIS|FEA|HAP|NEU|SAD)_(LO|MD|HI|XX|X)")


def load(folder: Path, expected: Mapping[str, int] = COUNTS) -> Corpus:
    """All six classes: 7442 utterances in the order of their names.

    Raises UserError for other counts than ``expected``.
    """
    return _load("crema-d", folder, tuple(sorted(LABEL_OF_CODE.values())), expected)


def load_4(folder: Path, expected: Mapping[str, int] = COUNTS) -> Corpus:
    """Angry, happy, neutral and sad alone: 4900 utterances. Raises UserError."""
    return _load("crema-d4", folder, FOUR, expected)


def _load(name: str, folder: Path, labels: tuple[str, ...], expected: Mapping[str, int]) -> Corpus:
    utterances = tuple(
        Utterance(stem, path, speaker=stem[:4], label=label, corpus=name, trim=True)
        for stem, path in sorted(sound_files(name, folder, _STEM).items())
        if (label := LABEL_OF_CODE[stem[9:12]]) in labels
    )
    corpus = Corpus(name, LICENCE, labels, utterances, recordings="crema-d")
    found = [u.label for u in utterances] + ["speakers"] * len(corpus.speakers)
    check_counts(name, folder, found, {k: expected[k] for k in (*labels, "speakers")})
    return corpus


ATTRIBUTION = (
    "Contains information from CREMA-D (H. Cao et al. 2014, https://github.com/CheyneyComputerScience"
    "/CREMA-D), which is made available under the Open Database License (ODbL) 1.0, "
    "https://opendatacommons.org/licenses/odbl/1-0/: a model is a work produced from the database; "
    "whoever publishes a changed database offers it under the same licence."
)
SIX_CLASSES = Release(load, "crema-d", LICENCE, ATTRIBUTION)
FOUR_CLASSES = Release(load_4, "crema-d", LICENCE, ATTRIBUTION)
