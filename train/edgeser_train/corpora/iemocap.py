"""IEMOCAP (Busso et al. 2008), in the three selections that the papers use.

The folder is the release as it comes: ``Session1`` to ``Session5``, in each the recordings in
``sentences/wav/DIALOG/UTTERANCE.wav`` and the labels in ``dialog/EmoEvaluation/DIALOG.txt``. There
each utterance has a paragraph: ``[start - end]``, name, label and ``[valence, activation,
dominance]``, separated by tabs; then a line for each annotator, of which those that begin with
``C-`` are votes for classes, one annotator may give several. An utterance's agreement is the share
of all its votes that are for its label (Zhong et al. 2020); for one labelled excited, only votes
for excited count, even where excited is taken as happy.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from edgeser.errors import UserError
from edgeser_train.corpora.corpus import Corpus, Release, reading
from edgeser_train.corpora.folder import RESTORE, check_complete, check_counts, sound_files
from edgeser_train.corpora.pairs import STYLES, told_by, utterance

LICENCE = "LicenseRef-IEMOCAP"
LABELS = ("angry", "happy", "neutral", "sad")
SESSIONS = ("1", "2", "3", "4", "5")


@dataclass(frozen=True)
class Selection:
    """``label_of_code``: our label for each of the release's that is used. ``styles``: of the
    dialogs used. ``counts``: utterances of each session, by label in the order of LABELS.
    """

    label_of_code: Mapping[str, str]
    styles: tuple[str, ...]
    counts: Mapping[str, tuple[int, int, int, int]]


_FOUR = {"ang": "angry", "hap": "happy", "neu": "neutral", "sad": "sad"}
_EXCITED_AS_HAPPY = _FOUR | {"exc": "happy"}

SELECTIONS = {
    "iemocap4": Selection(
        _FOUR,
        ("improvised",),
        {
            "1": (62, 33, 223, 104),
            "2": (22, 54, 217, 100),
            "3": (90, 60, 198, 190),
            "4": (84, 31, 174, 81),
            "5": (31, 106, 287, 133),
        },
    ),
    "iemocap4-improvised-exc": Selection(
        _EXCITED_AS_HAPPY,
        ("improvised",),
        {
            "1": (62, 132, 223, 104),
            "2": (22, 191, 217, 100),
            "3": (90, 149, 198, 190),
            "4": (84, 195, 174, 81),
            "5": (31, 280, 287, 133),
        },
    ),
    "iemocap4-all": Selection(
        _EXCITED_AS_HAPPY,
        ("improvised", "scripted"),
        {
            "1": (229, 278, 384, 194),
            "2": (137, 327, 362, 197),
            "3": (240, 286, 320, 305),
            "4": (327, 303, 258, 143),
            "5": (170, 442, 384, 245),
        },
    ),
}

_NAME = re.compile(r"Ses0([1-5])[FM]_(impro|script)\w*_([FM])\w{3}")
_NUMBER = r"\s*(\d+(?:\.\d+)?)\s*"
_HEAD = re.compile(rf"\[.*\]\t(\S+)\t(\w+)\t\[{_NUMBER},{_NUMBER},{_NUMBER}\]\s*")


@dataclass(frozen=True)
class Evaluation:
    """What EmoEvaluation says of an utterance. ``code``: the label, three letters."""

    name: str
    code: str
    valence: float
    arousal: float
    votes: tuple[str, ...]

    @property
    def agreement(self) -> float | None:
        """Share of the votes that are for the label; None without votes."""
        if not self.votes:
            return None
        return sum(vote.lower().startswith(self.code) for vote in self.votes) / len(self.votes)


def load(name: str, folder: Path, selection: Selection) -> Corpus:
    """A selection, ordered by session and name. ``folder`` holds the five sessions.

    A speaker is a session and a gender, e.g. "1F". Raises UserError for another folder, a label
    without its recording, and other counts than the selection's.
    """
    inside = folder / "IEMOCAP_full_release"
    root = inside if inside.is_dir() else folder
    utterances = []
    for session in SESSIONS:
        home = root / f"Session{session}"
        if not (home / "dialog" / "EmoEvaluation").is_dir():
            raise UserError(
                f"corpus {name}: {folder} has no Session{session}/dialog/EmoEvaluation",
                "give the folder that holds Session1 to Session5",
            )
        found = sound_files(name, home / "sentences" / "wav", _NAME)
        evaluations = [e for e in _evaluations(home) if _is_in(selection, e)]
        wanted = {e.name: selection.label_of_code[e.code] for e in evaluations}
        check_complete(name, home, wanted, found)
        utterances += [
            utterance(
                name,
                found[e.name],
                e.name,
                _NAME,
                selection.label_of_code[e.code],
                agreement=e.agreement,
                valence=e.valence,
                arousal=e.arousal,
            )
            for e in sorted(evaluations, key=lambda e: e.name)
        ]
    expected = {
        f"session {session} {label}": count
        for session, counts in selection.counts.items()
        for label, count in zip(LABELS, counts, strict=True)
    }
    check_counts(name, folder, (f"session {u.session} {u.label}" for u in utterances), expected)
    return Corpus(name, LICENCE, LABELS, tuple(utterances), recordings="iemocap")


def _is_in(selection: Selection, evaluation: Evaluation) -> bool:
    style = STYLES[told_by(evaluation.name, _NAME)[1]]
    return evaluation.code in selection.label_of_code and style in selection.styles


def _evaluations(session: Path) -> Iterator[Evaluation]:
    """Those of all dialogs of a session. Raises UserError that names a malformed line."""
    for file in sorted((session / "dialog" / "EmoEvaluation").glob("Ses*.txt")):
        head: re.Match[str] | None = None
        votes: list[str] = []
        with reading(file):
            lines = file.read_text(encoding="utf-8", errors="replace").splitlines()
        for number, line in enumerate(lines, 1):
            if line.startswith("["):
                if head:
                    yield _evaluation(head, votes)
                head, votes = _HEAD.fullmatch(line), []
                if not head or not _NAME.fullmatch(head[1]):
                    raise UserError(
                        f"corpus file {file} line {number}: expected '[start - end] NAME LABEL "
                        f"[V, A, D]' with tabs between, found '{line[:80]}'",
                        RESTORE,
                    )
            elif line.startswith("C-"):
                voted = line.split("\t")[1] if "\t" in line else ""
                votes += [vote.strip() for vote in voted.split(";") if vote.strip()]
        if head:
            yield _evaluation(head, votes)


def _evaluation(head: re.Match[str], votes: list[str]) -> Evaluation:
    return Evaluation(head[1], head[2], float(head[3]), float(head[4]), tuple(votes))


IMPROVISED, IMPROVISED_EXCITED, ALL_EXCITED = (
    Release(partial(load, name, selection=selection), "iemocap", LICENCE)
    for name, selection in SELECTIONS.items()
)
