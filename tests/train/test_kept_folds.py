"""The folds that an evaluation keeps in its run folder, read by themselves."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from edgeser.errors import UserError
from edgeser_train.corpora import load_corpus
from edgeser_train.evaluation.folds import FoldResult, kept_folds
from edgeser_train.experiments import evaluate, planned
from tests.train.predictions import plan, results
from tests.train.synthetic import TINY, make_manifest


def keep(run: Path, result: FoldResult, stem: str = "") -> None:
    stem = stem or result.fold
    (run / f"{stem}.json").write_bytes(msgspec.json.encode(result))
    (run / f"{stem}.pt").write_bytes(b"weights")


def test_every_fold_comes_with_its_checkpoint(tmp_path: Path) -> None:
    folds = results(plan())
    for result in reversed(folds):
        keep(tmp_path, result)
    (tmp_path / "daemon.json").write_text("{}")
    assert kept_folds(tmp_path) == [(r, tmp_path / f"{r.fold}.pt") for r in folds]


def test_several_seeds_are_for_those_who_ask(tmp_path: Path) -> None:
    folds = results(plan(seeds=(1, 2)))
    for result in folds:
        keep(tmp_path, result, f"{result.fold}-seed{result.seed}")
    with pytest.raises(UserError, match=r"folds are of several seeds \(1, 2\)"):
        kept_folds(tmp_path)
    assert [result for result, _ in kept_folds(tmp_path, several_seeds=True)] == folds


def test_what_is_no_run_of_one_plan_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="holds no folds"):
        kept_folds(tmp_path / "none")
    one, other, *_ = results(plan())
    keep(tmp_path, one)
    keep(tmp_path, msgspec.structs.replace(other, key="another"))
    with pytest.raises(UserError, match="several recipes, corpora or protocols"):
        kept_folds(tmp_path)
    (tmp_path / f"{one.fold}.json").write_text("{}")
    with pytest.raises(UserError, match="not the result of a fold"):
        kept_folds(tmp_path)


def test_utterances_that_name_no_corpus_are_of_the_one_that_holds_them(tmp_path: Path) -> None:
    corpus = load_corpus(f"manifest={make_manifest(tmp_path)}")
    nameless = replace(corpus, utterances=tuple(replace(u, corpus="") for u in corpus.utterances))
    nameless_plan = planned("lightweight", nameless, protocol="loso", settings=TINY)
    report = evaluate(nameless_plan, tmp_path / "run", folds=["a"], cache=tmp_path / "cache")
    assert (report.corpora, [row.corpus for row in report.by_corpus]) == (["mine"], ["mine"])
