"""Evaluation protocols: which utterances train, validate and test, by name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from edgeser.errors import UserError
from edgeser_train.corpora import Corpus
from edgeser_train.data import splits
from edgeser_train.data.splits import Fold, Indices
from edgeser_train.registry import Registry

__all__ = ["PROTOCOLS", "Fold", "Indices", "LeakError", "Protocol", "check", "folds_of"]


class LeakError(UserError):
    """A fold's parts share what its protocol forbids them to share: a defect of the protocol."""


@dataclass(frozen=True)
class Protocol:
    """``description``: one line for a report. ``speaker_independent``: no speaker is in two parts
    of a fold. ``folds``: from a corpus and a random seed to its folds.
    """

    description: str
    speaker_independent: bool
    folds: Callable[[Corpus, int], list[Fold]]


_OURS: dict[str, Protocol | str] = {
    "full": Protocol("every utterance trains, nothing is held out", True, splits.full),
    "loso": Protocol("leave one speaker out: one tests, all others train", True, splits.loso),
    "loso_val": Protocol(
        "one speaker tests, the partner in its session (without sessions the next speaker) "
        "validates, all others train",
        True,
        splits.loso_val,
    ),
    "random_kfold": Protocol(
        "5 folds of utterances drawn by chance; speakers are in both parts",
        False,
        splits.random_kfold,
    ),
    "speaker_kfold": Protocol(
        "6 folds of speakers: every sixth of them, sorted, tests", True, splits.speaker_kfold
    ),
    "zhong10": Protocol(
        "10 parts of like composition; the last always tests, each other validates once; "
        "speakers are in all parts",
        False,
        splits.zhong10,
    ),
    "fixed": Protocol("the parts that the corpus itself fixes", True, splits.fixed),
    "loco": Protocol("leave one corpus out: one tests, all others train", True, splits.loco),
    "cross": Protocol("the first corpus trains, each other one tests", True, splits.cross),
}

PROTOCOLS = Registry[Protocol]("protocol", "edgeser.protocols", _OURS, Protocol)


def folds_of(protocol: str, corpus: Corpus, seed: int = 0) -> list[Fold]:
    """All folds of a named protocol, checked for leaks. ``seed`` affects the split alone.

    Raises UserError for a bad name, a corpus that the protocol does not fit, an empty part, and
    for folds that are not ``Fold``, that leak, or that have the same name.
    """
    where = f"protocol '{protocol}'"
    chosen = PROTOCOLS.named(protocol, where)
    folds = chosen.folds(corpus, seed)
    if not isinstance(folds, list) or not all(isinstance(fold, Fold) for fold in folds):
        raise UserError(f"{where}: what it returns is not a list of Fold", "fix the protocol")
    if not folds:
        raise UserError(f"{where}: it makes no folds of {corpus.name}", "use another protocol")
    names: set[str] = set()
    for fold in folds:
        if fold.name in names:
            raise UserError(f"{where}: two folds are named '{fold.name}'", "fix the protocol")
        if fold.name != Path(fold.name).name:
            raise UserError(
                f"{where}: a fold is named '{fold.name}', which is not a valid file name",
                "name it without /",
            )
        names.add(fold.name)
        check(fold, corpus, speaker_independent=chosen.speaker_independent, of=where)
        if protocol != "full" and not fold.test:
            raise UserError(
                f"{where}: nothing to test in fold {fold.name}",
                "use another protocol, or mark utterances of the corpus as test",
            )
    return folds


def check(fold: Fold, corpus: Corpus, *, speaker_independent: bool = True, of: str = "") -> None:
    """Check that no utterance, no group and, where asked, no speaker is in two parts, and that
    every class can be learnt. ``of``: names the protocol in an error.

    Raises LeakError for a leak, UserError for a class without training examples and for an index
    that is not an utterance.
    """
    where = f"{of} fold {fold.name}".strip()
    owner: dict[tuple[str, str], str] = {}
    for part, indices in fold.parts.items():
        there = len(corpus.utterances)
        strange = [i for i in indices if not 0 <= i < there]
        if strange:
            raise UserError(
                f"{where}: {part} has utterance {strange[0]}, the corpus only 0 to {there - 1}",
                "fix the protocol",
            )
        chosen = [corpus.utterances[i] for i in indices]
        if len({u.name for u in chosen}) != len(indices):
            raise LeakError(f"{where}: an utterance is twice in {part}", "fix the protocol")
        kinds = {
            "utterance": {u.name for u in chosen},
            "group": {u.group for u in chosen} - {""},
            "speaker": {u.speaker for u in chosen} if speaker_independent else set(),
        }
        for thing in sorted((kind, name) for kind, names in kinds.items() for name in names):
            if thing in owner:
                raise LeakError(
                    f"{where}: {' '.join(thing)} is in {owner[thing]} and in {part}",
                    "fix the protocol",
                )
            owner[thing] = part
    trained = {corpus.utterances[i].label for i in fold.train}
    lacking = [label for label in corpus.labels if label not in trained]
    if lacking:
        having = [
            f"{label} ({len({u.speaker for u in corpus.utterances if u.label == label})} of "
            f"{len(corpus.speakers)} speakers)"
            for label in lacking
        ]
        others = [label for label in corpus.labels if label in trained]
        raise UserError(
            f"{where}: no training example of {', '.join(having)}",
            f"choose classes that more speakers have: --labels {','.join(others)}"
            if len(others) > 1
            else "use a corpus in which more speakers have it",
        )
