"""What a user would otherwise take: openSMILE's ComParE_2016 functionals and an RBF-SVM.

python benchmarks/rivals/opensmile_svm.py --corpus emodb=FOLDER -o FOLDER
python benchmarks/rivals/opensmile_svm.py --corpus emodb7=FOLDER --corpus mesd=FOLDER
    --corpus crema-d=FOLDER --labels LABELS --unseen savee=FOLDER --unseen ravdess=FOLDER -o FOLDER

The sounds and folds of `edgeser evaluate` with the same options, the figures of
`edgeser unseen`. With --unseen, all of --corpus trains and the unseen corpora are scored. For each
of these ways to make features there is an SVM, trained on features made that way:

* nothing known of a voice: the features as they are, standardised over the training part;
* relative to the mean of ten other utterances of the speaker, seven of them neutral; this one is
  scored with less and with more known, too;
* standardised by speaker, with the mean and deviation of all of a speaker's utterances. These
  include the scored ones, and their emotions are balanced: no listener has that.

C is chosen by cross-validation inside the training part of a fold, leaving out corpora if it has
several, otherwise speakers. For a part of more than 2000 utterances this uses a subset, drawn
evenly from corpora, classes and speakers, but the kernel of the whole part, whose features are
standardised together (that uses no label). Needs `pip install opensmile scikit-learn` (openSMILE's
licence is for research only: it is measured here, never shipped).
"""

from __future__ import annotations

import argparse
import shlex
import sys
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, TypeAlias

sys.path.insert(0, str(Path(__file__).parents[2]))

import msgspec
import numpy as np

from benchmarks import script
from benchmarks.rivals.pairwise import PairwisePredictions
from edgeser.errors import UserError
from edgeser.features.front_end import Floats
from edgeser_train.corpora import Corpus, load_corpus, merged
from edgeser_train.corpora.selection import classes_of, selected
from edgeser_train.data.protocols import Fold, check, folds_of
from edgeser_train.evaluation.enrolment import EARLIER, NOTHING, Enrolment, enrolled_for
from edgeser_train.evaluation.unseen_report import Document, EnrolmentRow, enrolment_row, markdown
from edgeser_train.files import write_whole
from edgeser_train.metrics import Doubles

TEN = Enrolment(10, "mostly neutral")
STANDARDISED = "all, standardised (looks ahead)"
Way: TypeAlias = Enrolment | str
WAYS: dict[str, tuple[Way, ...]] = {
    "nothing": (NOTHING,),
    "relative": (TEN, Enrolment(3, "neutral"), EARLIER),
    "standardised": (STANDARDISED,),
}
"""How features are made: for each, an SVM is trained with the first way and scored with all."""

NOTE = (
    "Each row's machine has learnt from features made the same way; those of 3 and 10 utterances "
    "and of all earlier ones are of one that has learnt from features relative to ten mostly "
    "neutral ones. The last row looks ahead: mean and deviation are of all "
    "utterances of a speaker."
)


class Voices(NamedTuple):
    """A corpus and its functionals (utterances, 6373)."""

    corpus: Corpus
    values: Floats

    def among(self, labels: str | None) -> Voices:
        """The utterances of the classes in ``labels``, as in ``edgeser evaluate --labels``; all if
        it is None. Raises UserError.
        """
        if labels is None:
            return self
        place = {u.name: row for row, u in enumerate(self.corpus.utterances)}
        chosen = selected(self.corpus, classes_of(labels))
        return Voices(chosen, self.values[[place[u.name] for u in chosen.utterances]])


def main() -> None:
    asked = _asked()
    try:
        import sklearn  # noqa: F401

        from benchmarks.rivals.functionals import functionals_of
    except ImportError as error:
        print(f"skipped: {error}; pip install opensmile scikit-learn", file=sys.stderr)
        return
    voices = []
    for named in (*asked.corpus, *asked.unseen):
        whole = load_corpus(named)
        values = functionals_of(whole, asked.cache, asked.jobs)
        voices.append(Voices(whole, values).among(asked.labels))
    corpus = merged([v.corpus for v in voices])
    if asked.unseen:
        folds = [_unseen(voices[: len(asked.corpus)], len(corpus.utterances))]
        check(folds[0], corpus)
    else:
        folds = folds_of(asked.protocol or "loso", corpus)
    _once_each(folds)
    rows = [row for way in asked.way or WAYS for row in _rows(WAYS[way], corpus, voices, folds)]
    words = ["python", "benchmarks/rivals/opensmile_svm.py", *script.without_folders(sys.argv[1:])]
    report = Document(
        rows=rows,
        model="openSMILE ComParE_2016 and an RBF-SVM",
        command=shlex.join(words),
        orders=1,
        note=NOTE,
    )
    write_whole(asked.output / "unseen.json", msgspec.json.format(msgspec.json.encode(report)))
    write_whole(asked.output / "unseen.md", markdown(report).encode())
    print(markdown(report))


def _asked() -> argparse.Namespace:
    parser = script.parser_of(__doc__)
    add = parser.add_argument
    add("--corpus", required=True, action="append", metavar="NAME=PATH", help="as edgeser evaluate")
    add("--labels", help="as edgeser evaluate")
    add("--protocol", help="as edgeser evaluate; by default loso")
    add("--unseen", default=[], action="append", metavar="NAME=PATH", help="scored, never learnt")
    add("--way", action="append", choices=WAYS, help="one of the machines; by default all")
    add("--cache", type=Path, help="a folder that keeps the functionals")
    add("--jobs", type=int, default=1, help="processes that compute the functionals")
    add("-o", "--output", required=True, type=Path, help="a folder")
    asked = parser.parse_args()
    if asked.unseen and asked.protocol:
        parser.error("--unseen: everything else trains; leave out --protocol")
    if asked.jobs < 1:
        parser.error(f"--jobs: expected 1 or more, got {asked.jobs}")
    return asked


def _once_each(folds: Sequence[Fold]) -> None:
    """Raises UserError unless there is something to score, and no utterance twice."""
    tested = [i for fold in folds for i in fold.test]
    if not tested or len(set(tested)) < len(tested):
        raise UserError(
            f"--protocol: its folds score {'some utterances twice' if tested else 'nothing'}",
            "take loso, speaker_kfold or loco",
        )


def _rows(
    ways: Sequence[Way], corpus: Corpus, voices: Sequence[Voices], folds: Sequence[Fold]
) -> list[EnrolmentRow]:
    """One row for each way, from SVMs that are trained with the first, fold by fold."""
    from benchmarks.rivals.svm import Machine

    raw = np.concatenate([v.values for v in voices])
    made = {way: np.concatenate([_features(v, way) for v in voices]) for way in ways}
    shape = (len(raw), len(corpus.labels), len(corpus.labels))
    margins = {way: np.zeros(shape) for way in ways}
    temperatures = np.full(len(raw), np.nan)
    for fold in folds:
        train, test = list(fold.train), list(fold.test)
        machine = Machine(corpus, train, made[ways[0]][train])
        print(f"{_name(ways[0])}, {fold.name}: C {machine.cost:g}", file=sys.stderr)
        mean = raw[train].mean(axis=0)
        for way, of_way in margins.items():
            relative = np.where(np.isnan(made[way][test]), raw[test] - mean, made[way][test])
            of_way[test] = machine.margins(relative)
        temperatures[test] = machine.temperature
    rows = []
    for way, of_way in margins.items():
        predictions, fitted = [], []
        for of_corpus in _tested(corpus, temperatures):
            predictions.append([_predictions(corpus, of_way, of_corpus)])
            fitted.append((float(np.exp(np.log(temperatures[of_corpus]).mean())), 0.0))
        rows.append(enrolment_row(_name(way), predictions, fitted))
    return rows


def _unseen(learnt: Sequence[Voices], utterances: int) -> Fold:
    """A fold in which the utterances of ``learnt``, which come first, train and all others test."""
    train = sum(len(v.corpus.utterances) for v in learnt)
    return Fold("unseen", tuple(range(train)), (), tuple(range(train, utterances)))


def _features(voices: Voices, way: Way) -> Floats:
    """Features made in that way (utterances, 6373); nan where nothing is known of a voice yet."""
    corpus, values = voices
    if isinstance(way, str):
        speakers = np.array([u.speaker for u in corpus.utterances])
        standardised = np.empty_like(values)
        for speaker in corpus.speakers:
            own = values[speakers == speaker].astype(np.float64)
            spread = own.std(axis=0)
            own -= own.mean(axis=0)
            standardised[speakers == speaker] = own / np.where(spread > 0, spread, 1.0)
        return standardised
    if way == NOTHING:
        return values
    enrolled = enrolled_for(corpus, way, order=0)
    nothing = np.full(values.shape[1], np.nan, np.float32)
    means = [values[some].mean(axis=0) if some else nothing for some in enrolled]
    return values - np.stack(means)


def _tested(corpus: Corpus, temperatures: Doubles) -> list[list[int]]:
    """The utterances of each corpus that were scored, i.e. have a temperature."""
    rows: dict[str, list[int]] = defaultdict(list)
    for i in np.flatnonzero(~np.isnan(temperatures)).tolist():
        rows[corpus.utterances[i].corpus].append(i)
    return list(rows.values())


def _predictions(corpus: Corpus, margins: Doubles, rows: list[int]) -> PairwisePredictions:
    """Predictions for utterances of one corpus."""
    return PairwisePredictions(
        corpus.utterances[rows[0]].corpus or corpus.name,
        corpus.labels,
        margins[rows].sum(axis=2),
        corpus.targets[rows],
        tuple(corpus.utterances[i].speaker for i in rows),
        margins[rows],
    )


def _name(way: Way) -> str:
    return way if isinstance(way, str) else way.name


if __name__ == "__main__":
    script.run(main)
