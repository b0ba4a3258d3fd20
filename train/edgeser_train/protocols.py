"""Evaluation protocols: which utterances train, validate and test, by name."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from edgeser.errors import UserError
from edgeser_train.corpora import Corpus

Indices = tuple[int, ...]


class LeakError(Exception):
    """A fold's parts share what its protocol forbids them to share. A defect, never bad input."""


@dataclass(frozen=True)
class Fold:
    """Positions in ``corpus.utterances`` of each part."""

    name: str
    train: Indices
    validation: Indices
    test: Indices


def folds_of(protocol: str, corpus: Corpus) -> list[Fold]:
    """All folds of a named protocol, checked for leaks. Raises UserError for a bad name."""
    if protocol not in PROTOCOLS:
        raise UserError(f"protocol '{protocol}': unknown; there is {', '.join(PROTOCOLS)}")
    folds = PROTOCOLS[protocol](corpus)
    for fold in folds:
        check(fold, corpus)
    return folds


def check(fold: Fold, corpus: Corpus) -> None:
    """Demand that no utterance and no speaker is in two parts, and that every class can be learnt.

    Raises LeakError for the first, UserError for the second.
    """
    parts = {"train": fold.train, "validation": fold.validation, "test": fold.test}
    owner: dict[str, str] = {}
    for part, indices in parts.items():
        names = {corpus.utterances[i].name for i in indices}
        if len(names) != len(indices):
            raise LeakError(f"fold {fold.name}: an utterance is twice in {part}")
        for speaker in {corpus.utterances[i].speaker for i in indices}:
            if speaker in owner:
                raise LeakError(
                    f"fold {fold.name}: speaker {speaker} is in {owner[speaker]} and in {part}"
                )
            owner[speaker] = part
    learnt = {corpus.utterances[i].label for i in fold.train}
    lacking = [label for label in corpus.labels if label not in learnt]
    if lacking:
        raise UserError(f"fold {fold.name}: no training example of {', '.join(lacking)}")


def _full(corpus: Corpus) -> list[Fold]:
    """Everything trains; nothing is held out."""
    return [Fold("full", tuple(range(len(corpus.utterances))), (), ())]


def _loso(corpus: Corpus) -> list[Fold]:
    """Leave one speaker out: one tests, all others train, nothing validates."""
    return [_fold(corpus, test, None) for test in corpus.speakers]


def _loso_val(corpus: Corpus) -> list[Fold]:
    """One speaker tests, the next one in cyclic order validates, all others train."""
    speakers = corpus.speakers
    following = speakers[1:] + speakers[:1]
    return [_fold(corpus, test, held) for test, held in zip(speakers, following, strict=True)]


def _fold(corpus: Corpus, test: str, validation: str | None) -> Fold:
    spoken_by: dict[str, list[int]] = {speaker: [] for speaker in corpus.speakers}
    for i, utterance in enumerate(corpus.utterances):
        spoken_by[utterance.speaker].append(i)
    others = [s for s in corpus.speakers if s not in (test, validation)]
    return Fold(
        test,
        _sorted(i for s in others for i in spoken_by[s]),
        _sorted(spoken_by[validation]) if validation else (),
        _sorted(spoken_by[test]),
    )


def _sorted(indices: Iterable[int]) -> Indices:
    return tuple(sorted(indices))


PROTOCOLS: dict[str, Callable[[Corpus], list[Fold]]] = {
    "full": _full,
    "loso": _loso,
    "loso_val": _loso_val,
}
