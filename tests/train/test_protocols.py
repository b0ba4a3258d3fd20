"""Protocols: every utterance where it belongs, and leaks that fail loudly."""

from __future__ import annotations

from collections import Counter
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeser.errors import UserError
from edgeser_train.corpora import Corpus, Utterance, merged
from edgeser_train.data.protocols import PROTOCOLS, Fold, LeakError, check, folds_of


def corpus_of(
    speakers: int, labels: tuple[str, ...] = ("angry", "sad"), name: str = "small"
) -> Corpus:
    """Two utterances of each label by each speaker."""
    utterances = tuple(
        Utterance(f"{s:02}-{label}-{n}", Path("/nowhere"), f"{s:02}", label, corpus=name)
        for s in range(speakers)
        for label in labels
        for n in range(2)
    )
    return Corpus(name, "CC0-1.0", labels, utterances)


def changed(corpus: Corpus, **of_position: dict[int, object]) -> Corpus:
    """``field={position: value}`` for some utterances."""
    utterances = list(corpus.utterances)
    for field, values in of_position.items():
        for i, value in values.items():
            utterances[i] = replace(utterances[i], **{field: value})  # type: ignore[arg-type]
    return replace(corpus, utterances=tuple(utterances))


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


def test_a_group_in_two_parts_is_a_leak() -> None:
    corpus = changed(corpus_of(2), group={0: "same", 5: "same"})
    with pytest.raises(LeakError, match="group same is in train and in test"):
        check(Fold("f", (0, 2), (), (5,)), corpus)


def test_a_protocol_may_share_speakers_but_no_utterance() -> None:
    corpus = corpus_of(2)
    check(Fold("f", (0, 2), (), (1,)), corpus, speaker_independent=False)
    with pytest.raises(LeakError, match="utterance 00-angry-0 is in train and in test"):
        check(Fold("f", (0, 2), (), (0,)), corpus, speaker_independent=False)


@settings(deadline=None)
@given(parts=st.lists(st.integers(0, 3), min_size=16, max_size=16), strict=st.booleans())
def test_every_leak_is_found(parts: list[int], strict: bool) -> None:
    corpus = changed(corpus_of(4), group={0: "g", 1: "g", 14: "h", 15: "h"})
    train, held, test, _ = (tuple(i for i in range(16) if parts[i] == part) for part in range(4))
    fold = Fold("f", train, held, test)
    kinds = {"group": lambda u: u.group or u.name}
    if strict:
        kinds["speaker"] = lambda u: u.speaker
    leaks = any(
        {name(corpus.utterances[i]) for i in one} & {name(corpus.utterances[i]) for i in other}
        for name in kinds.values()
        for one, other in ((train, held), (train, test), (held, test))
    )
    with pytest.raises(LeakError) if leaks else suppress(UserError):
        check(fold, corpus, speaker_independent=strict)


def test_loso_val_validates_on_the_partner_in_the_session() -> None:
    corpus = corpus_of(4)  # 4 utterances each: 00 with 03, 01 with 02
    corpus = changed(
        corpus, session={i: "a" if u.speaker in ("00", "03") else "b" for i, u in pairs(corpus)}
    )
    folds = folds_of("loso_val", corpus)
    held = [{corpus.utterances[i].speaker for i in fold.validation} for fold in folds]
    assert held == [{"03"}, {"02"}, {"01"}, {"00"}]


def pairs(corpus: Corpus) -> list[tuple[int, Utterance]]:
    return list(enumerate(corpus.utterances))


def test_speaker_kfold_tests_every_sixth_speaker() -> None:
    corpus = corpus_of(8)
    folds = folds_of("speaker_kfold", corpus)
    tested = [sorted({corpus.utterances[i].speaker for i in fold.test}) for fold in folds]
    assert tested == [["00", "06"], ["01", "07"], ["02"], ["03"], ["04"], ["05"]]
    assert sorted(i for fold in folds for i in fold.test) == list(range(32))


@pytest.mark.parametrize(
    ("protocol", "speakers", "said"),
    [
        ("loso", 1, "1 speaker, it needs 2; use 'random_kfold', whose figures hold for these"),
        ("loso_val", 1, "1 speaker, it needs 3; use 'random_kfold'"),
        ("loso_val", 2, "2 speakers, it needs 3; use 'loso'"),
        ("speaker_kfold", 1, "1 speaker, it needs 6; use 'random_kfold'"),
        ("speaker_kfold", 5, "5 speakers, it needs 6; use 'loso'"),
    ],
)
def test_too_few_speakers_are_told_which_protocol_to_take(
    protocol: str, speakers: int, said: str
) -> None:
    with pytest.raises(UserError, match=f"protocol '{protocol}': corpus small has {said}"):
        folds_of(protocol, corpus_of(speakers))


def test_a_class_of_too_few_speakers_is_told_how_to_leave_it_out() -> None:
    corpus = corpus_of(3, ("angry", "calm", "sad"))
    calm = [i for i, u in pairs(corpus) if u.label == "calm" and u.speaker != "01"]
    corpus = changed(corpus, label=dict.fromkeys(calm, "sad"))
    said = r"'loso' fold 01: .* of calm \(1 of 3 speakers\); choose .* --labels angry,sad"
    with pytest.raises(UserError, match=said):
        folds_of("loso", corpus)


@settings(deadline=None)
@given(
    speakers=st.integers(5, 8),
    seed=st.integers(0, 9),
    group=st.sets(st.integers(0, 19), min_size=2, max_size=4),
)
def test_random_kfold_tests_every_utterance_once(speakers: int, seed: int, group: set[int]) -> None:
    corpus = changed(corpus_of(speakers), group=dict.fromkeys(group, "same"))
    folds = folds_of("random_kfold", corpus, seed)
    assert len(folds) == 5
    everything = list(range(len(corpus.utterances)))
    assert sorted(i for fold in folds for i in fold.test) == everything
    for fold in folds:
        assert sorted(fold.train + fold.test) == everything
        assert len(group & set(fold.test)) in (0, len(group))
    sizes = [len(fold.test) for fold in folds]
    assert max(sizes) - min(sizes) <= len(group)
    assert folds == folds_of("random_kfold", corpus, seed)


def test_another_seed_is_another_division() -> None:
    corpus = corpus_of(8)
    assert folds_of("random_kfold", corpus, 1) != folds_of("random_kfold", corpus, 2)
    assert folds_of("zhong10", corpus, 1) != folds_of("zhong10", corpus, 2)


@settings(deadline=None)
@given(speakers=st.integers(8, 12), seed=st.integers(0, 9))
def test_zhong10_tests_one_part_and_validates_the_others(speakers: int, seed: int) -> None:
    corpus = corpus_of(speakers)
    corpus = changed(
        corpus,
        gender={i: "male" if int(u.speaker) % 2 else "female" for i, u in pairs(corpus)},
        group={3: "same", 2: "same"},
    )
    folds = folds_of("zhong10", corpus, seed)
    assert len(folds) == 9
    assert len({fold.test for fold in folds}) == 1
    held = [i for fold in folds for i in fold.validation]
    assert sorted(held + list(folds[0].test)) == list(range(len(corpus.utterances)))
    for fold in folds:
        assert sorted(fold.train + fold.validation + fold.test) == list(
            range(len(corpus.utterances))
        )
        assert len({2, 3} & set(fold.test)) != 1
    strata = Counter((u.gender, u.label) for u in corpus.utterances)
    for part in (*(fold.validation for fold in folds), folds[0].test):
        there = Counter((corpus.utterances[i].gender, corpus.utterances[i].label) for i in part)
        for stratum, count in strata.items():
            assert count // 10 - 1 <= there[stratum] <= -(-count // 10) + 1


def test_fixed_takes_the_corpus_at_its_word() -> None:
    corpus = corpus_of(3)
    marks = {i: ("train", "validation", "test")[int(u.speaker)] for i, u in pairs(corpus)}
    (fold,) = folds_of("fixed", changed(corpus, part=marks))
    assert (fold.train, fold.validation, fold.test) == ((0, 1, 2, 3), (4, 5, 6, 7), (8, 9, 10, 11))
    with pytest.raises(UserError, match="does not say which part 00-angry-0 is in"):
        folds_of("fixed", corpus)
    with pytest.raises(UserError, match="has speaker 00 in train and in test"):
        folds_of("fixed", changed(corpus, part=marks | {1: "test"}))
    with pytest.raises(UserError, match="protocol 'fixed': nothing to test in fold fixed; use"):
        folds_of("fixed", changed(corpus, part=dict.fromkeys(marks, "train")))


def test_cross_trains_on_the_first_corpus_and_tests_each_other() -> None:
    corpora = [corpus_of(n, name=name) for n, name in ((2, "a"), (1, "b"), (3, "c"))]
    corpus = merged(corpora)
    folds = folds_of("cross", corpus)
    assert [fold.name for fold in folds] == ["a-to-b", "a-to-c"]
    for fold in folds:
        assert {corpus.utterances[i].corpus for i in fold.train} == {"a"}
        assert {corpus.utterances[i].corpus for i in fold.test} == {fold.name[-1]}
    assert [len(fold.test) for fold in folds] == [4, 12]
    with pytest.raises(UserError, match="small is only one corpus"):
        folds_of("cross", corpus_of(2))


@settings(deadline=None)
@given(protocol=st.sampled_from(sorted(PROTOCOLS)), speakers=st.integers(6, 12))
def test_no_protocol_shares_more_than_it_says(protocol: str, speakers: int) -> None:
    corpus = merged([corpus_of(speakers, name="a"), corpus_of(3, name="b")])
    parts = {i: "test" if u.corpus == "b" else "train" for i, u in pairs(corpus)}
    corpus = changed(corpus, part=parts)
    folds = folds_of(protocol, corpus)
    assert len({fold.name for fold in folds}) == len(folds)
    shared = False
    for fold in folds:
        for one, other in (
            (fold.train, fold.validation),
            (fold.train, fold.test),
            (fold.validation, fold.test),
        ):
            assert not set(one) & set(other)
            speakers_of = [{corpus.utterances[i].speaker for i in part} for part in (one, other)]
            shared = shared or bool(speakers_of[0] & speakers_of[1])
    assert shared != PROTOCOLS[protocol].speaker_independent


def test_an_unknown_protocol_is_named() -> None:
    with pytest.raises(UserError, match="no protocol 'kfold'; there is full, loso, loso_val"):
        folds_of("kfold", corpus_of(2))
