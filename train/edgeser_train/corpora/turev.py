"""TurEV-DB: Turkish words of about a second, six speakers in four emotions (Canpolat et al. 2020).

A folder per emotion; a file's name is ``1157_kz_acik``: speaker, emotion, word. There is silence
at both ends: every recording is trimmed to its speech when it is read. Calm is not neutral; to
treat them as one class, merge them: ``--labels angry,happy,neutral=neutral+calm,sad``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from edgeser_train.corpora.corpus import Corpus, Release, Utterance
from edgeser_train.corpora.folder import check_counts, files_in_folders

LICENCE = "CC-BY-NC-ND-4.0 or GPL-3.0, its pages differ"
"""https://github.com/Xeonen/TurEV-DB"""

LABEL_OF_FOLDER = {"Angry": "angry", "Calm": "calm", "Happy": "happy", "Sad": "sad"}
COUNTS = {"angry": 487, "calm": 408, "happy": 357, "sad": 483, "speakers": 6}

_PATH = re.compile(rf"({'|'.join(LABEL_OF_FOLDER)})/(\d{{4}})_(kz|sk|mt|hl)_.+")


def load(folder: Path, expected: Mapping[str, int] = COUNTS) -> Corpus:
    """All four classes: 1735 words in the order of folder and name.

    Raises UserError for other counts than ``expected``.
    """
    utterances = tuple(
        Utterance(
            path.stem,
            path,
            speaker=match[2],
            label=LABEL_OF_FOLDER[match[1]],
            corpus="turev",
            trim=True,
        )
        for match, path in files_in_folders("turev", folder, _PATH)
    )
    corpus = Corpus(
        "turev", LICENCE, tuple(sorted(LABEL_OF_FOLDER.values())), utterances, recordings="turev"
    )
    found = [u.label for u in utterances] + ["speakers"] * len(corpus.speakers)
    check_counts("turev", folder, found, expected)
    return corpus


FOUR_CLASSES = Release(load, "turev", LICENCE)
