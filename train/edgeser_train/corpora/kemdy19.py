"""KEMDy19: Korean actors in pairs, improvised and scripted (Noh et al. 2021), in four classes.

The layout assumed is that of the release v1.3, which we have not seen: recordings
``wav/Session01/Sess01_impro01/Sess01_impro01_F001.wav``, labels in
``annotation/Session01_F_res.csv`` (and ``_M_``) with two rows of headings. The first has
"Segment ID" and, above the majority's emotion, valence and arousal, "Total Evaluation"; every later
"Emotion" in the second heads the votes of one annotator. An utterance is labelled by the file of
its own speaker.

Annotators can tie ("neutral;happy"). Hyeon et al. do not say how they treat ties: they are left
out, or count as the first class named, whichever gives their counts.
"""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from edgeser.errors import UserError
from edgeser_train.corpora.corpus import Corpus, Release, reading
from edgeser_train.corpora.folder import RESTORE, check_complete, check_counts, sound_files
from edgeser_train.corpora.pairs import utterance

LICENCE = "LicenseRef-KEMDy19"
LABELS = ("angry", "happy", "neutral", "sad")
COUNTS = {"angry": 1530, "happy": 1313, "neutral": 4328, "sad": 773}

_NAME = re.compile(r"Sess(\d\d)_(impro|script)\d\d_([FM])\d\d\d")
_FILE = re.compile(r"Session(\d\d)_([FM])_res")


_Row = tuple[str, str, float, float, tuple[str, ...]]
"""Name, emotion, valence, arousal, votes."""


def load(folder: Path, expected: Mapping[str, int] = COUNTS) -> Corpus:
    """The four classes, in the order of the names. Speakers are e.g. "01F".

    Raises UserError for another layout, a label without its recording, and other counts than
    ``expected``.
    """
    name = "kemdy19"
    found = sound_files(name, folder, _NAME)
    files = sorted(p for p in folder.rglob("*.csv") if _FILE.fullmatch(p.stem))
    if not files:
        raise UserError(
            f"corpus {name}: {folder} has no annotation/Session01_F_res.csv",
            "give the folder that holds annotation and wav",
        )
    rows = {row[0]: row for file in files for row in _rows(file)}
    label_of = _labels([row for row in rows.values() if ";" not in row[1]])
    with_ties = _labels(rows.values())
    if Counter(with_ties.values()) == Counter(expected):
        label_of = with_ties
    check_counts(name, folder, label_of.values(), expected)
    check_complete(name, folder, label_of, found)
    utterances = []
    for stem, label in label_of.items():
        _, _, valence, arousal, votes = rows[stem]
        agreement = votes.count(label) / len(votes) if votes else None
        utterances.append(
            utterance(
                name,
                found[stem],
                stem,
                _NAME,
                label,
                agreement=agreement,
                valence=valence,
                arousal=arousal,
            )
        )
    return Corpus(name, LICENCE, LABELS, tuple(utterances), recordings=name)


def _labels(rows: Iterable[_Row]) -> dict[str, str]:
    """The first emotion of each row by utterance, sorted; only those of the four classes."""
    first = {row[0]: row[1].split(";")[0].strip() for row in rows}
    return {stem: first[stem] for stem in sorted(first) if first[stem] in LABELS}


def _rows(file: Path) -> Iterator[_Row]:
    """The rows of the utterances by the speaker whose file it is."""
    with reading(file), file.open(encoding="utf-8-sig", newline="") as opened:
        rows = list(csv.reader(opened))
    try:
        top, below, *body = rows
        name, total = top.index("Segment ID"), top.index("Total Evaluation")
        headings = [cell.strip().lower() for cell in below]
        if headings[total : total + 3] != ["emotion", "valence", "arousal"]:
            raise ValueError
    except ValueError as error:
        raise UserError(
            f"corpus file {file}: no 'Segment ID' and 'Total Evaluation' with Emotion, Valence, "
            "Arousal in the first two rows",
            "give the annotations of release v1.3",
        ) from error
    voters = [i for i in range(total + 3, len(headings)) if headings[i] == "emotion"]
    own = _FILE.fullmatch(file.stem)
    for number, row in enumerate(body, 3):
        match = _NAME.fullmatch(row[name].strip()) if len(row) > total + 2 else None
        if not match or not own or (match[1], match[3]) != (own[1], own[2]):
            continue
        try:
            valence, arousal = float(row[total + 1]), float(row[total + 2])
        except ValueError as error:
            raise UserError(
                f"corpus file {file} line {number}: valence or arousal is not a number", RESTORE
            ) from error
        votes = tuple(row[i].strip() for i in voters if i < len(row) and row[i].strip())
        yield match[0], row[total].strip(), valence, arousal, votes


RELEASE = Release(load, "kemdy19", LICENCE)
