"""Protocols: every utterance where it belongs, and leaks that fail loudly."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgeser.errors import UserError
from edgeser_train.corpora import Corpus, Utterance
from edgeser_train.protocols import Fold, LeakError, check, folds_of


def corpus_of(speakers: int, labels: tuple[str, ...] = ("angry", "sad")) -> Corpus:
    utterances = tuple(
        Utterance(f"{s:02}-{label}-{n}", Path("/nowhere"), f"{s:02}", label)
        for s in range(speakers)
        for label in labels
        for n in range(2)
    )
    return Corpus("small", "CC0-1.0", labels, utterances)


def test_loso_tests_every_utterance_once_and_trains_on_all_other_speakers() -> None:
    corpus = corpus_of(5)
    folds = folds_of("loso", corpus)
    assert [fold.name for fold in folds] == list(corpus.speakers)
    assert sorted(i for fold in folds for i in fold.test) == list(range(20))
    for fold in folds:
        assert {corpus.utterances[i].speaker for i in fold.test} == {fold.name}
        assert sorted(fold.train + fold.test) == list(range(20))
        assert fold.validation == ()


def test_loso_val_validates_on_the_next_speaker() -> None:
    corpus = corpus_of(4)
    folds = folds_of("loso_val", corpus)
    held = [{corpus.utterances[i].speaker for i in fold.validation} for fold in folds]
    assert held == [{"01"}, {"02"}, {"03"}, {"00"}]
    for fold in folds:
        assert sorted(fold.train + fold.validation + fold.test) == list(range(16))


def test_full_trains_on_everything() -> None:
    (fold,) = folds_of("full", corpus_of(2))
    assert fold.train == tuple(range(8))
    assert fold.validation == fold.test == ()


def test_a_speaker_in_two_parts_is_a_leak() -> None:
    with pytest.raises(LeakError, match="speaker 00 is in train and in test"):
        check(Fold("f", (0, 1, 2), (), (3,)), corpus_of(2))
    with pytest.raises(LeakError, match="speaker 01 is in validation and in test"):
        check(Fold("f", (0, 2), (4,), (5,)), corpus_of(2))


def test_an_utterance_twice_is_a_leak() -> None:
    with pytest.raises(LeakError, match="twice in train"):
        check(Fold("f", (0, 0, 2), (), (5,)), corpus_of(2))


def test_a_class_without_examples_is_named() -> None:
    with pytest.raises(UserError, match="no training example of sad"):
        check(Fold("f", (0, 1), (), (5,)), corpus_of(2))


def test_an_unknown_protocol_is_named() -> None:
    with pytest.raises(UserError, match="protocol 'kfold': unknown; there is full, loso, loso_val"):
        folds_of("kfold", corpus_of(2))
