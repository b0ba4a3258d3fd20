"""The report of an evaluation: what was measured, how, and with what."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from importlib import metadata

import msgspec
import numpy as np

from edgeser.model.artefact import Estimate
from edgeser_train import checkpoint, metrics
from edgeser_train.calibration import abstention, cross_fitted, temperature
from edgeser_train.folds import GAINS_DB, FoldResult, Plan
from edgeser_train.models.lightweight import Lightweight
from edgeser_train.recipe import Recipe


class FoldRow(msgspec.Struct, frozen=True):
    """Figures of one fold, as fractions of one."""

    fold: str
    speakers: list[str]
    utterances: int
    wa: float
    ua: float
    f1: float
    seconds: float


class GainRow(msgspec.Struct, frozen=True):
    """What becomes of the figures when the test sound is scaled; ``changed`` is a share."""

    gain_db: float
    wa: float
    ua: float
    changed: float


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that ``report.md`` tells, for programs.

    The figures of ``wa``, ``ua`` and ``f1`` pool the utterances of all folds. ``ece_after`` is that
    of scores whose temperature comes from the other folds; ``temperature`` is fitted on all of
    them, for the model that ships. ``answered`` is the share of utterances at or above
    ``abstain_below``, ``answered_wa`` the accuracy on them.
    """

    model: str
    corpus: str
    licence: str
    protocol: str
    part: str
    seed: int
    recipe: Recipe
    command: str
    date: str
    commit: str
    versions: dict[str, str]
    parameters: int
    labels: list[str]
    folds: list[FoldRow]
    wa: Estimate
    ua: Estimate
    f1: Estimate
    recalls: list[float]
    confusion: list[list[int]]
    fold_mean_wa: float
    fold_mean_ua: float
    temperature: float
    ece_before: float
    ece_after: float
    abstain_below: float
    answered: float
    answered_wa: float
    gains: list[GainRow]
    losses: dict[str, list[float]]


def report_of(plan: Plan, results: Sequence[FoldResult], command: str) -> Report:
    """The report of all folds of a plan."""
    labels = list(plan.corpus.labels)
    count = len(labels)
    targets = np.array([t for r in results for t in r.targets], np.int64)
    groups = np.array([i for i, r in enumerate(results) for _ in r.targets], np.int64)
    logits = [
        np.concatenate([np.array(r.logits[g]) for r in results]) for g in range(len(GAINS_DB))
    ]
    answers = [rows.argmax(axis=1) for rows in logits]
    plain = answers[0]
    counts = metrics.confusion(targets, plain, count)
    scores = cross_fitted(logits[0], targets, groups)
    threshold = abstention(scores, targets)
    answered = scores.max(axis=1) >= threshold
    rows = [_row(r, count) for r in results]
    return Report(
        model=checkpoint.MODEL,
        corpus=plan.corpus.name,
        licence=plan.corpus.licence,
        protocol=plan.protocol,
        part=plan.part,
        seed=plan.seed,
        recipe=plan.recipe,
        command=command,
        date=checkpoint.today(),
        commit=checkpoint.commit(),
        versions=versions(),
        parameters=sum(p.numel() for p in Lightweight(plan.recipe.model).parameters()),
        labels=labels,
        folds=rows,
        wa=metrics.estimate(metrics.wa, targets, plain, count),
        ua=metrics.estimate(metrics.ua, targets, plain, count),
        f1=metrics.estimate(metrics.f1, targets, plain, count),
        recalls=metrics.recalls(counts).tolist(),
        confusion=counts.tolist(),
        fold_mean_wa=float(np.mean([row.wa for row in rows])),
        fold_mean_ua=float(np.mean([row.ua for row in rows])),
        temperature=temperature(logits[0], targets),
        ece_before=metrics.ece(metrics.softmax(logits[0]), targets),
        ece_after=metrics.ece(scores, targets),
        abstain_below=threshold,
        answered=float(answered.mean()),
        answered_wa=float((plain == targets)[answered].mean()) if answered.any() else 0.0,
        gains=[
            GainRow(
                gain,
                metrics.wa(moved := metrics.confusion(targets, answer, count)),
                metrics.ua(moved),
                float((answer != plain).mean()),
            )
            for gain, answer in zip(GAINS_DB, answers, strict=True)
        ],
        losses={r.fold: r.losses for r in results},
    )


def versions() -> dict[str, str]:
    """Of Python and of the libraries that a figure may depend on."""
    libraries = ("edgeser", "torch", "lightning", "numpy", "soxr")
    return {"python": platform.python_version()} | {
        library: metadata.version(library) for library in libraries
    }


def _row(result: FoldResult, labels: int) -> FoldRow:
    answers = np.array(result.logits[0]).argmax(axis=1)
    counts = metrics.confusion(np.array(result.targets), answers, labels)
    return FoldRow(
        result.fold,
        sorted(set(result.speakers)),
        len(result.targets),
        metrics.wa(counts),
        metrics.ua(counts),
        metrics.f1(counts),
        result.seconds,
    )
