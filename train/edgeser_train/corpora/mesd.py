"""MESD: single words of Mexican Spanish in six emotions (Duville et al. 2021).

A file's name is ``Emotion_Voice_Corpus_word``: the voices are F (women), M (men) and C (children),
the corpora A and B. Names identify groups of voices, not persons: a group stays on one side of a
split.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from edgeser_train.corpora.corpus import Corpus, Release, Utterance
from edgeser_train.corpora.folder import check_counts, sound_files

LICENCE = "CC-BY-4.0"
"""https://doi.org/10.17632/cy34mh68j9"""

LABEL_OF_NAME = {
    "Anger": "angry",
    "Disgust": "disgusted",
    "Fear": "fearful",
    "Happiness": "happy",
    "Neutral": "neutral",
    "Sadness": "sad",
}
COUNTS = {
    "angry": 143,
    "disgusted": 144,
    "fearful": 141,
    "happy": 141,
    "neutral": 143,
    "sad": 144,
    "voice C": 283,
    "voice F": 288,
    "voice M": 285,
}
"""Of the 856 words that are distributed; eight of the published 864 are not among them."""

_STEM = re.compile(rf"({'|'.join(LABEL_OF_NAME)})_([FMC])_([AB])_.+")
_GENDER = {"F": "female", "M": "male", "C": ""}


def load(folder: Path, expected: Mapping[str, int] = COUNTS) -> Corpus:
    """All six classes: 856 words in the order of their names, the voice groups as speakers.

    Raises UserError for other counts than ``expected``.
    """
    utterances = tuple(
        Utterance(
            stem,
            path,
            speaker=voice,
            label=LABEL_OF_NAME[emotion],
            corpus="mesd",
            gender=_GENDER[voice],
        )
        for stem, path in sorted(sound_files("mesd", folder, _STEM).items())
        for emotion, voice in [stem.split("_")[:2]]
    )
    found = [name for u in utterances for name in (u.label, f"voice {u.speaker}")]
    check_counts("mesd", folder, found, expected)
    return Corpus(
        "mesd", LICENCE, tuple(sorted(LABEL_OF_NAME.values())), utterances, recordings="mesd"
    )


ATTRIBUTION = (
    "Learnt from the Mexican Emotional Speech Database (MESD) of M. M. Duville, "
    "L. M. Alonso-Valerdi and D. I. Ibarra-Zarate (2021), https://doi.org/10.17632/cy34mh68j9, "
    "CC BY 4.0, https://creativecommons.org/licenses/by/4.0/; the sound was resampled and varied."
)
SIX_CLASSES = Release(load, "mesd", LICENCE, ATTRIBUTION)
