"""Models that another one learns from or starts with."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from edgeser.errors import UserError
from edgeser_train.corpora import load_corpora, load_corpus
from edgeser_train.data.protocols import Fold, folds_of
from edgeser_train.evaluation.folds import Plan
from edgeser_train.training import checkpoint
from edgeser_train.training.leaks import leak_free
from edgeser_train.training.teacher import Teacher
from tests.command_line import edgeser


def test_a_teacher_is_learnt_from(
    common: tuple[object, ...], tiny_run: Path, tmp_path: Path
) -> None:
    words = ("--folds", "08", "--teacher", tiny_run / "loso")
    done = edgeser("evaluate", *common, *words, "--set", "distillation.weight=0.9")
    assert done.exit_code == 0, done.output
    taught = json.loads((tmp_path / "run" / "08.json").read_text())
    alone = json.loads((tiny_run / "loso" / "08.json").read_text())
    assert taught["losses"] != alone["losses"]


def test_a_student_is_bound_by_its_teacher_s_licence(
    emodb: Path, tiny_run: Path, tmp_path: Path
) -> None:
    model, origin = checkpoint.load(tiny_run / "loso" / "08.pt")
    bound = msgspec.structs.replace(origin, licence="CC-BY-NC-SA-4.0", corpora=["ravdess4"])
    checkpoint.save(tmp_path / "teacher.pt", model, bound)
    corpus = load_corpora([f"emodb={emodb}"])
    fold = next(fold for fold in folds_of("loso", corpus) if fold.name == "08")
    plan = Plan(corpus, origin.recipe, "loso", teacher=Teacher((tmp_path / "teacher.pt",)))
    student = checkpoint.origin_of(corpus, origin.recipe, "loso", fold, 1, plan.ancestors(fold))
    assert student.licence == "CC-BY-NC-SA-4.0"
    assert student.corpora == ["emodb", "ravdess4"]


def test_a_teacher_that_has_seen_the_test_is_refused(
    common: tuple[object, ...], tiny_run: Path, tmp_path: Path
) -> None:
    for teacher, said in [
        (tiny_run / "model.pt", "has seen 42 utterances that fold 08 holds out"),
        (tiny_run / "loso" / "03.pt", "has seen 42 utterances that fold 08 holds out"),
        (tmp_path / "none.pt", "no such checkpoint or run folder"),
    ]:
        done = edgeser("evaluate", *common, "--folds", "08", "--teacher", teacher)
        assert done.exit_code == 2, done.output
        assert said in done.output


@pytest.mark.parametrize("option", ["--teacher", "--initialise"])
def test_a_fold_that_a_run_lacks_is_told_before_any_training(
    common: tuple[object, ...], tiny_run: Path, tmp_path: Path, option: str
) -> None:
    for more in ((), ("--dry-run",)):
        done = edgeser("evaluate", *common, "--folds", "08,09", option, tiny_run / "loso", *more)
        assert done.exit_code == 2, done.output
        assert f"run {tiny_run / 'loso'}: no checkpoint 09.pt of fold 09; give" in done.output
    assert not list(tmp_path.glob("run/*"))


def test_a_training_starts_from_another_one(
    common: tuple[object, ...], tiny_run: Path, tmp_path: Path
) -> None:
    begun = ("--folds", "08", "--initialise", tiny_run / "loso", "--set", "epochs=1")
    done = edgeser("evaluate", *common, *begun)
    assert done.exit_code == 0, done.output
    begun_loss = json.loads((tmp_path / "run" / "08.json").read_text())["losses"][0]
    alone = json.loads((tiny_run / "loso" / "08.json").read_text())
    assert begun_loss < alone["losses"][0]

    held_out = ("--protocol", "loso", "--fold", "08", "--set", "epochs=1")
    start = ("--initialise", tmp_path / "run" / "08.pt")
    done = edgeser("train", *common, "-o", tmp_path / "second", *held_out, *start)
    assert done.exit_code == 0, done.output
    _, first = checkpoint.load(tmp_path / "run" / "08.pt")
    _, second = checkpoint.load(tmp_path / "second" / "model.pt")
    assert (second.trained_on, second.licence) == (first.trained_on, first.licence)


def test_a_start_that_does_not_fit_is_refused(
    common: tuple[object, ...], tiny_run: Path, tmp_path: Path
) -> None:
    for start, words, said in [
        (tiny_run / "loso" / "03.pt", (), "has seen 42 utterances that fold 08 holds out"),
        (tmp_path / "none.pt", (), "no such checkpoint or run folder"),
        (tiny_run / "loso", ("--set", "model.channels=16"), "not of one architecture"),
    ]:
        done = edgeser("evaluate", *common, "--folds", "08", "--initialise", start, *words)
        assert done.exit_code == 2, done.output
        assert said in done.output
    assert not (tmp_path / "run" / "unfinished").exists()


def test_a_leak_between_a_merged_corpus_and_one_of_its_own_is_seen(
    emodb: Path, tiny_run: Path
) -> None:
    one = load_corpus(f"emodb={emodb}")
    prefixed = tuple(replace(u, name=f"emodb:{u.name}") for u in one.utterances)
    other = replace(one.utterances[0], name="other:a", corpus="other")
    both = replace(one, utterances=(*prefixed, other))
    fold = Fold("08", (), (), (40,))
    with pytest.raises(UserError, match="start: has seen 1 utterances that fold 08 holds out"):
        leak_free(tiny_run / "model.pt", both, fold, "start")
