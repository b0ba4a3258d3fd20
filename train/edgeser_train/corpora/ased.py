"""ASED: Amharic, 65 speakers in five emotions (Retta et al. 2022).

A folder per emotion; a file's name is ``n1-01-01-02-65``: emotion and folder, sentence,
repetition, sex (01 female, 02 male), speaker. Every file is padded or cut to 3 s: it is trimmed to
its speech when it is read. The judges kept 2474 of the 4550 recordings, different ones of each
speaker.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from edgeser_train.corpora.corpus import Corpus, Release, Utterance
from edgeser_train.corpora.folder import check_counts, files_in_folders

LICENCE = "none stated, published for research"
"""https://github.com/Ethio2021/ASED_V1"""

LABEL_OF_FOLDER = {
    "01Neutral": "neutral",
    "02Fearful": "fearful",
    "03Happy": "happy",
    "04Sad": "sad",
    "05Angry": "angry",
}
COUNTS = {
    "angry": 486,
    "fearful": 510,
    "happy": 486,
    "neutral": 522,
    "sad": 470,
    "speakers": 65,
}

_PATH = re.compile(rf"({'|'.join(LABEL_OF_FOLDER)})/([nfhsaS][1-5]-\d\d-\d\d)-(01|02)-(\d\d)")


def load(folder: Path, expected: Mapping[str, int] = COUNTS) -> Corpus:
    """All five classes: 2474 utterances in the order of folder and name.

    Raises UserError for other counts than ``expected``.
    """
    utterances = tuple(
        Utterance(
            path.stem,
            path,
            speaker=match[4],
            label=LABEL_OF_FOLDER[match[1]],
            corpus="ased",
            gender="female" if match[3] == "01" else "male",
            trim=True,
        )
        for match, path in files_in_folders("ased", folder, _PATH)
    )
    corpus = Corpus(
        "ased", LICENCE, tuple(sorted(LABEL_OF_FOLDER.values())), utterances, recordings="ased"
    )
    found = [u.label for u in utterances] + ["speakers"] * len(corpus.speakers)
    check_counts("ased", folder, found, expected)
    return corpus


FIVE_CLASSES = Release(load, "ased", LICENCE)
