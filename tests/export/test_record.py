"""Which evaluation a checkpoint may be exported with, and what its record says about it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from edgeser.errors import UserError
from edgeser_export.record import record_of
from edgeser_train.evaluation.report import Report
from edgeser_train.evaluation.report_files import read
from edgeser_train.training import checkpoint
from edgeser_train.training.checkpoint import Origin


@pytest.fixture
def origin(tiny_run: Path) -> Origin:
    """The origin of a model that was trained on all of Emo-DB."""
    return checkpoint.load(tiny_run / "model.pt")[1]


@pytest.fixture
def report(tiny_run: Path) -> Report:
    """Of two folds of ``loso``, with the same recipe."""
    return read(tiny_run / "loso" / "report" / "report.json")


def changed(thing: Any, **fields: Any) -> Any:
    return msgspec.structs.replace(thing, **fields)


def as_cross(report: Report) -> Report:
    """The report as if its models had been trained on emodb and tested on mine."""
    (row, *_) = report.folds
    return changed(
        report,
        corpus="emodb+mine",
        corpora=["mine"],
        protocol="cross",
        folds=[changed(row, fold="emodb-to-mine")],
        folds_left_out=[],
    )


def refused(origin: Origin, report: Report) -> str:
    with pytest.raises(UserError, match=r"^--report: ") as caught:
        record_of(origin, report)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_class_that_events_cannot_name_is_refused(origin: Origin) -> None:
    with pytest.raises(UserError, match="a class is called unknown"):
        record_of(changed(origin, labels=[*origin.labels[:-1], "unknown"]), None)


def test_a_record_says_of_how_many_folds_its_figures_are(origin: Origin, report: Report) -> None:
    assert record_of(origin, report).protocol == "loso, test part, 2 of 10 folds, pooled"
    whole = changed(report, folds_left_out=[])
    assert record_of(origin, whole).protocol == "loso, test part, pooled"
    unsure = changed(whole, ancestors_known=False)
    assert "whom its ancestors heard is not known" in record_of(origin, unsure).protocol


def test_a_fold_carries_the_evaluation_that_it_is_of(tiny_run: Path, report: Report) -> None:
    _, fold = checkpoint.load(tiny_run / "loso" / "03.pt")
    assert record_of(fold, report).ua == report.ua


@pytest.mark.parametrize("corpora", [["emodb"], ["emodb", "mine"]], ids=["new", "old"])
def test_cross_is_of_its_own_checkpoints_alone(
    corpora: list[str], origin: Origin, report: Report
) -> None:
    cross = as_cross(report)
    fold = changed(origin, protocol="cross fold emodb-to-mine", corpora=corpora)
    assert record_of(fold, cross).protocol == "cross emodb-to-mine, test part, pooled"
    for stranger in (
        changed(origin, corpora=["mine"]),
        origin,
        changed(fold, protocol="cross fold mine-to-emodb"),
    ):
        assert "trained as 'cross' does (emodb-to-mine)" in refused(stranger, cross)


def test_fixed_is_of_its_own_checkpoint_alone(origin: Origin, report: Report) -> None:
    (row, *_) = report.folds
    fixed = changed(report, protocol="fixed", folds=[changed(row, fold="fixed")])
    assert record_of(changed(origin, protocol="fixed fold fixed"), fixed).ua == report.ua
    assert "trained as 'full'" in refused(origin, fixed)


def test_another_corpus_is_refused(origin: Origin, report: Report) -> None:
    assert "it is of mine (" in refused(origin, changed(report, corpus="mine"))
    both = changed(report, corpus="emodb+mine")
    assert "it is of emodb+mine" in refused(origin, both)
    relabelled = changed(report, labels=["angry", "calm", "neutral", "sad"])
    assert "(angry, calm, neutral, sad)" in refused(origin, relabelled)
    smaller = changed(origin, trained_on=origin.trained_on[60:])
    assert "that the checkpoint was not trained on, e.g. 03a01Fa" in refused(smaller, report)


def test_ancestors_must_be_there_in_both(origin: Origin, report: Report) -> None:
    student = changed(origin, corpora=["emodb", "mine"], trained_on=[*origin.trained_on, "0.wav"])
    assert "models that heard mine, those of the report have not" in refused(student, report)
    for with_ancestors in ({"taught_by": ["teacher"]}, {"started_from": "stage-1"}):
        assert record_of(student, changed(report, **with_ancestors)).corpora == ["emodb", "mine"]
