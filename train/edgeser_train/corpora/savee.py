"""SAVEE: four men, native speakers of English, in seven emotions (Haq and Jackson 2009).

A folder per speaker (DC, JE, JK, KL); a file's name is the emotion's letters and a number, e.g.
``sa07``. There is silence at both ends: every recording is trimmed to its speech when it is read.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from edgeser_train.corpora.corpus import Corpus, Release, Utterance
from edgeser_train.corpora.folder import check_counts, files_in_folders

LICENCE = "research only"
"""http://kahlan.eps.surrey.ac.uk/savee/"""

LABEL_OF_LETTERS = {
    "a": "angry",
    "d": "disgusted",
    "f": "fearful",
    "h": "happy",
    "n": "neutral",
    "sa": "sad",
    "su": "surprised",
}
SPEAKERS = ("DC", "JE", "JK", "KL")
COUNTS = dict.fromkeys(LABEL_OF_LETTERS.values(), 60) | {
    "neutral": 120,
    **{f"speaker {speaker}": 120 for speaker in SPEAKERS},
}

_PATH = re.compile(rf"({'|'.join(SPEAKERS)})/(a|d|f|h|n|sa|su)\d\d")


def load(folder: Path, expected: Mapping[str, int] = COUNTS) -> Corpus:
    """All seven classes: 480 utterances in the order of speaker and name.

    Raises UserError for other counts than ``expected``.
    """
    utterances = tuple(
        Utterance(
            match.group().replace("/", "-"),
            path,
            speaker=match[1],
            label=LABEL_OF_LETTERS[match[2]],
            corpus="savee",
            gender="male",
            trim=True,
        )
        for match, path in files_in_folders("savee", folder, _PATH)
    )
    found = [name for u in utterances for name in (u.label, f"speaker {u.speaker}")]
    check_counts("savee", folder, found, expected)
    labels = tuple(sorted(LABEL_OF_LETTERS.values()))
    return Corpus("savee", LICENCE, labels, utterances, recordings="savee")


SEVEN_CLASSES = Release(load, "savee", LICENCE)
