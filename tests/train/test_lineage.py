"""A model that another one learns from, or begins with, must not have heard what is scored."""

from __future__ import annotations

import tracemalloc
from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import pytest
import soundfile

from edgeser.errors import UserError
from edgeser_train.corpora import CORPORA, Corpus, Utterance, load_corpus, merged
from edgeser_train.data.lineage import check_disjoint, corpus_digest, sound_digest
from edgeser_train.data.protocols import Fold, folds_of
from edgeser_train.models import build
from edgeser_train.training import checkpoint, leaks
from edgeser_train.training.checkpoint import Origin
from edgeser_train.training.fold import TrainingPlan, train_fold
from edgeser_train.training.initial_weights import InitialWeights
from edgeser_train.training.recipe import changed
from edgeser_train.training.recipes import recipe_of
from tests.train.synthetic import make_emodb

SPEAKERS = ("a", "b", "c")
TINY = ("blocks=1", "channels=8", "entry_channels=4", "hidden=8", "head=8")


def listed(folder: Path, name: str, *, takes: str, seed: int = 0) -> Corpus:
    """A manifest of its own folder: two labels by each of three speakers, in every take."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = ["path,speaker,label"]
    for k, (speaker, label, take) in enumerate(
        (s, label, t) for s in SPEAKERS for label in ("low", "high") for t in takes
    ):
        sound = np.random.default_rng([seed, k, int(take)]).normal(0, 0.1, 1600)
        soundfile.write(folder / f"{speaker}{label}{take}.wav", sound, 16_000, "PCM_16")
        rows.append(f"{speaker}{label}{take}.wav,{speaker},{label}")
    (folder / f"{name}.csv").write_text("\n".join(rows) + "\n")
    return load_corpus(f"manifest={folder / name}.csv")


def fold_of(corpus: Corpus, name: str, protocol: str = "loso") -> Fold:
    return next(fold for fold in folds_of(protocol, corpus) if fold.name == name)


def kept(path: Path, corpus: Corpus, fold: Fold, *ancestors: Origin, old: bool = False) -> Path:
    """A checkpoint of a fold; ``old``: from before checkpoints recorded what they heard."""
    recipe = changed(recipe_of("lightweight", labels=2), [f"model.{word}" for word in TINY])
    origin = checkpoint.origin_of(corpus, recipe, "loso", fold, 1, ancestors)
    if old:
        origin = msgspec.structs.replace(origin, heard=None)
    checkpoint.save(path, build(recipe.model), origin)
    return path


def leak_free(path: Path, corpus: Corpus, fold: Fold) -> Origin:
    return checkpoint.load_origin(leaks.leak_free(path, corpus, fold, "--teacher x"))


def test_the_same_sound_is_known_under_any_name(tmp_path: Path) -> None:
    first = listed(tmp_path, "first", takes="1")
    moved = []
    for u in first.utterances:
        samples, rate = soundfile.read(u.path, dtype="int16")
        path = tmp_path / "other" / f"moved-{u.path.stem}.flac"
        path.parent.mkdir(exist_ok=True)
        soundfile.write(path, samples, rate)
        moved.append(replace(u, name=path.name, path=path, speaker=f"x{u.speaker}", corpus="two"))
    second = replace(first, name="two", utterances=tuple(moved))
    assert [sound_digest(u) for u in second.utterances] == [
        sound_digest(u) for u in first.utterances
    ]
    teacher = kept(tmp_path / "teacher.pt", first, fold_of(first, "a"))
    with pytest.raises(UserError, match="has seen 2 utterances that fold xb holds out"):
        leak_free(teacher, second, fold_of(second, "xb"))
    leak_free(teacher, second, fold_of(second, "xa"))


def test_a_recording_in_two_parts_is_refused_under_any_name(tmp_path: Path) -> None:
    corpus = listed(tmp_path, "mine", takes="12")
    first, copied = corpus.utterances[0], corpus.utterances[-1]
    assert (first.speaker, copied.speaker) == ("a", "c")
    check_disjoint(corpus, folds_of("loso", corpus))
    copied.path.write_bytes(first.path.read_bytes())
    same = f"{first.path} of speaker a in test and {copied.path} of speaker c in train are the same"
    with pytest.raises(UserError, match=f"fold a: {same} recording; take one out"):
        check_disjoint(corpus, folds_of("loso", corpus))
    check_disjoint(corpus, [fold_of(corpus, "b"), *folds_of("full", corpus)])


def test_a_recording_twice_by_one_speaker_matters_where_speakers_are_in_two_parts(
    tmp_path: Path,
) -> None:
    corpus = listed(tmp_path, "mine", takes="1")
    one, other = corpus.utterances[:2]
    other.path.write_bytes(one.path.read_bytes())
    check_disjoint(corpus, folds_of("loso", corpus))
    mixed = [Fold("mixed", (0, 2, 3), (), (1, 4, 5))]
    with pytest.raises(UserError, match=f"{one.path} .* {other.path} .*; take one .* one group"):
        check_disjoint(corpus, mixed)
    check_disjoint(replace(corpus, name="emodb", recordings="emodb"), mixed)


def test_files_that_are_all_the_same_take_no_memory_for_their_pairs(tmp_path: Path) -> None:
    first, *_, last = (corpus := listed(tmp_path, "mine", takes="1")).utterances
    many = tuple(replace(first, speaker=str(n)) for n in range(1500))
    folds = [Fold("one", tuple(range(1500)), (), (1500,))]
    tracemalloc.start()
    try:
        check_disjoint(replace(corpus, utterances=(*many, last)), folds)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 10e6
    same = f"speaker 0 in train and {first.path} of speaker c in test are the same"
    with pytest.raises(UserError, match=f"fold one: {first.path} of {same}"):
        check_disjoint(replace(corpus, utterances=(*many, replace(first, speaker="c"))), folds)


def test_other_utterances_of_a_scored_speaker_are_a_leak(tmp_path: Path) -> None:
    many = listed(tmp_path, "mine", takes="123")
    first, rest = (
        replace(many, utterances=tuple(u for u in many.utterances if (u.path.stem[-1] == "1") == w))
        for w in (True, False)
    )
    teacher = kept(tmp_path / "teacher.pt", first, fold_of(first, "a"))
    with pytest.raises(UserError, match="has heard speaker mine:b, whom fold b holds out"):
        leak_free(teacher, rest, fold_of(rest, "b"))
    leak_free(teacher, rest, fold_of(rest, "a"))
    mixed = Fold("mixed", tuple(range(6)), (), tuple(range(6, 12)))
    in_both = replace(rest, utterances=tuple(replace(u, speaker="b") for u in rest.utterances))
    leak_free(teacher, in_both, mixed)


def test_the_same_part_may_validate_every_stage_but_not_train_one(tmp_path: Path) -> None:
    corpus = listed(tmp_path, "mine", takes="1")
    stage = fold_of(corpus, "a", "loso_val")
    (validating,) = {corpus.utterances[i].speaker for i in stage.validation}
    first = leak_free(kept(tmp_path / "first.pt", corpus, stage), corpus, stage)
    assert first.heard is not None
    assert first.heard.validating_speakers == [f"mine:{validating}"]
    assert len(first.heard.validating_sounds) == len(stage.validation)
    second = leak_free(kept(tmp_path / "second.pt", corpus, stage, first), corpus, stage)
    assert second.heard == first.heard

    swapped = Fold("swapped", stage.train, stage.test, stage.validation)
    with pytest.raises(UserError, match="has seen 2 utterances that fold swapped holds out"):
        leak_free(tmp_path / "first.pt", corpus, swapped)
    everything = Fold("all", (*stage.train, *stage.validation), (), ())
    trained = leak_free(kept(tmp_path / "all.pt", corpus, everything), corpus, everything)
    with pytest.raises(UserError, match="has seen 2 utterances that fold a holds out"):
        leak_free(tmp_path / "all.pt", corpus, stage)
    leaked = kept(tmp_path / "leaked.pt", corpus, stage, trained)
    with pytest.raises(UserError, match="has seen 2 utterances that fold a holds out"):
        leak_free(leaked, corpus, stage)


def test_labels_in_another_order_are_another_training(tmp_path: Path) -> None:
    corpus = listed(tmp_path, "mine", takes="1")
    turned = replace(corpus, labels=corpus.labels[::-1])
    fold = fold_of(corpus, "a")
    recipe = recipe_of("lightweight", labels=2)
    keys = {TrainingPlan(c, recipe, "loso").key for c in (corpus, turned)}
    assert len(keys) == 2
    start = InitialWeights(kept(tmp_path / "start.pt", corpus, fold))
    start.file(corpus, fold)
    with pytest.raises(UserError, match="in another order, high, low; give --labels high,low"):
        start.file(turned, fold)


def test_a_training_does_not_go_on_with_other_sounds(tmp_path: Path) -> None:
    corpus = listed(tmp_path, "mine", takes="1")
    recipe = changed(
        recipe_of("lightweight", labels=2), ["epochs=1", *(f"model.{word}" for word in TINY)]
    )
    plan, fold = TrainingPlan(corpus, recipe, "loso"), fold_of(corpus, "a")
    work = train_fold(plan, fold, 1, tmp_path / "run", tmp_path / "cache").work
    assert (work / "latest.ckpt").is_file()
    path = corpus.utterances[-1].path
    soundfile.write(path, np.zeros(1600), 16_000, "PCM_16")
    with pytest.raises(UserError, match=f"has changed since .* was stopped; .* remove {work}"):
        train_fold(plan, fold, 1, tmp_path / "run", tmp_path / "cache-2")


def test_equal_names_in_other_corpora_are_other_sounds_but_may_be_the_same_people(
    tmp_path: Path,
) -> None:
    here = listed(tmp_path / "a", "here", takes="1")
    there = listed(tmp_path / "b", "there", takes="1", seed=1)
    teacher = leak_free(
        kept(tmp_path / "t.pt", there, folds_of("full", there)[0]), here, fold_of(here, "a")
    )
    assert teacher.heard is not None
    assert teacher.heard.known
    recipe = teacher.recipe
    student = checkpoint.origin_of(here, recipe, "loso", fold_of(here, "a"), 1, [teacher])
    assert student.heard is not None
    assert not student.heard.known
    others = replace(
        there, utterances=tuple(replace(u, speaker=f"x{u.speaker}") for u in there.utterances)
    )
    stranger = checkpoint.origin_of(others, recipe, "full", folds_of("full", others)[0], 1)
    student = checkpoint.origin_of(here, recipe, "loso", fold_of(here, "a"), 1, [stranger])
    assert student.heard is not None
    assert student.heard.known
    assert set(student.heard.speakers) == {"here:b", "here:c", *(f"there:x{s}" for s in SPEAKERS)}
    assert len(student.heard.sounds) == 10


def test_an_old_checkpoint_and_its_descendants_are_judged_by_names(tmp_path: Path) -> None:
    corpus = listed(tmp_path, "mine", takes="1")
    teacher = kept(tmp_path / "old.pt", corpus, fold_of(corpus, "a"), old=True)
    with pytest.raises(UserError, match="has seen 2 utterances that fold b holds out"):
        leak_free(teacher, corpus, fold_of(corpus, "b"))
    origin = leak_free(teacher, corpus, fold_of(corpus, "a"))
    student = kept(tmp_path / "student.pt", corpus, fold_of(corpus, "a"), origin)
    heard = leak_free(student, corpus, fold_of(corpus, "a")).heard
    assert heard is not None
    assert not heard.known


def test_a_checkpoint_is_of_the_corpora_that_trained_it(emodb: Path) -> None:
    one = load_corpus(f"emodb={emodb}")
    strict = Corpus(
        "ravdess4",
        CORPORA["ravdess4"].licence,
        one.labels,
        tuple(replace(u, corpus="ravdess4") for u in one.utterances),
        recordings="ravdess",
    )
    both = merged([one, strict])
    (fold,) = folds_of("cross", both)
    recipe = recipe_of("lightweight")
    origin = checkpoint.origin_of(both, recipe, "cross", fold, 1)
    assert (origin.corpora, origin.licence) == (["emodb"], "CC0-1.0")
    whole = checkpoint.origin_of(both, recipe, "full", folds_of("full", both)[0], 1)
    assert (whole.corpora, whole.licence) == (["emodb", "ravdess4"], "CC-BY-NC-SA-4.0")
    bound = replace(both, licence="unspecified")
    assert checkpoint.origin_of(bound, recipe, "cross", fold, 1).licence == "unspecified"


def test_the_table_of_releases_is_that_of_the_loaders(tmp_path: Path) -> None:
    corpus = load_corpus(f"emodb={make_emodb(tmp_path)}")
    assert (corpus.recordings, corpus.licence) == (
        CORPORA["emodb"].recordings,
        CORPORA["emodb"].licence,
    )


def test_the_digest_of_a_corpus_changes_with_any_file(tmp_path: Path) -> None:
    corpus = listed(tmp_path, "mine", takes="1")
    before = corpus_digest(corpus)
    path = corpus.utterances[0].path
    path.touch()
    assert corpus_digest(corpus) == before
    soundfile.write(path, np.zeros(800), 16_000, "PCM_16")
    assert corpus_digest(corpus) != before
    path.unlink()
    with pytest.raises(UserError, match=f"corpus file {path}: cannot be read"):
        sound_digest(Utterance("x", path, "a", "low"))
