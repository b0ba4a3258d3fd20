"""The report of an evaluation: what was measured, how, and with what."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edgeser.commit import commit
from edgeser.model.decision import softmax
from edgeser_train import metrics
from edgeser_train.data.protocols import PROTOCOLS, folds_of
from edgeser_train.evaluation import bootstrap
from edgeser_train.evaluation.calibration import abstention, cross_fitted, temperature
from edgeser_train.evaluation.evaluation import (
    FORMAT,
    ConditionRow,
    CorpusRow,
    Curve,
    Evaluation,
    FoldRow,
    Prediction,
    SeedRow,
    Training,
)
from edgeser_train.evaluation.folds import FoldResult, Plan
from edgeser_train.evaluation.provenance import machine, versions
from edgeser_train.metrics import Doubles, Ints
from edgeser_train.training import checkpoint
from edgeser_train.training.checkpoint import Origin
from edgeser_train.training.recipe import Recipe

METRICS = {"wa": metrics.was, "ua": metrics.uas, "f1": metrics.f1s}


class Report(Evaluation, frozen=True, kw_only=True):
    """An evaluation with the recipe that was evaluated."""

    recipe: Recipe


@dataclass(frozen=True)
class _Predictions:
    """Predictions of all folds, n of them from each seed.

    ``fold``, ``target``: (n,); ``logits``: (n, seeds, labels) of every condition.
    """

    utterance: list[str]
    speaker: list[str]
    corpus: list[str]
    fold: list[str]
    target: Ints
    logits: dict[str, Doubles]

    def predicted(self, condition: str) -> Ints:
        """Label indices (n, seeds)."""
        return np.asarray(self.logits[condition].argmax(axis=2), np.int64)


def report_of(
    plan: Plan,
    results: Sequence[FoldResult],
    command: str,
    origins: Sequence[Origin | None] = (),
) -> Report:
    """The report on all folds of a plan, with every seed.

    ``origins``: those of their checkpoints, None where there is none.
    """
    labels = list(plan.corpus.labels)
    a = _pooled(results, plan.seeds)
    clean = next(iter(a.logits))
    predicted = a.predicted(clean)
    counts = bootstrap.tables(a.utterance, a.target, predicted, len(labels))
    matrices = counts.sum(axis=1)
    pooled = matrices.sum(axis=0).astype(np.int64)
    estimates = {name: bootstrap.interval(metric, counts) for name, metric in METRICS.items()}
    speakers = bootstrap.tables(a.speaker, a.target, predicted, len(labels))
    rows = _fold_rows(a, predicted, results, labels)

    groups, calibrated_on = _calibration_groups(a)
    seeds = len(plan.seeds)
    every = a.logits[clean].reshape(-1, len(labels))
    targets = a.target.repeat(seeds)
    scores = cross_fitted(every, targets, groups.repeat(seeds))
    threshold = abstention(scores, targets)
    answered = scores.max(axis=1) >= threshold
    right = (predicted == a.target[:, None]).ravel()
    known = not (plan.teacher or plan.start) or (
        len(origins) == len(results) and all(o and o.heard and o.heard.known for o in origins)
    )
    return Report(
        format=FORMAT,
        model=plan.recipe.name,
        corpus=plan.corpus.name,
        corpora=sorted(set(a.corpus)),
        licence=plan.corpus.licence,
        protocol=plan.protocol,
        description=PROTOCOLS[plan.protocol].description,
        speaker_independent=PROTOCOLS[plan.protocol].speaker_independent and known,
        part=plan.part,
        chosen_on="validation UA" if plan.recipe.patience else "last epoch",
        seeds=list(plan.seeds),
        data_seed=plan.data_seed,
        taught_by=[_called(path) for path in plan.teacher.paths] if plan.teacher else [],
        started_from=_called(plan.start.path) if plan.start else "",
        ancestors_known=known,
        recipe=plan.recipe,
        command=command,
        date=checkpoint.today(),
        commit=commit(),
        trained=_trainings(origins),
        precision=_precision(results),
        machine=machine(),
        versions=versions(),
        parameters=plan.recipe.network().count_weights(),
        labels=labels,
        utterances=counts.shape[1],
        speakers=speakers.shape[1],
        **estimates,
        by_speaker={name: bootstrap.interval(metric, speakers) for name, metric in METRICS.items()}
        if speakers.shape[1] >= bootstrap.FEWEST_SPEAKERS
        else None,
        fold_mean_wa=float(np.mean([row.wa for row in rows])),
        fold_mean_ua=float(np.mean([row.ua for row in rows])),
        recalls=metrics.recalls(matrices).mean(axis=0).tolist(),
        confusion=pooled.tolist(),
        folds=rows,
        folds_left_out=[
            fold.name
            for fold in folds_of(plan.protocol, plan.corpus, plan.data_seed)
            if fold.name not in a.fold
        ],
        by_seed=[
            SeedRow(seed, metrics.wa(matrix), metrics.ua(matrix), metrics.f1(matrix))
            for seed, matrix in zip(plan.seeds, matrices, strict=True)
        ],
        by_corpus=_corpus_rows(a, predicted, len(labels)),
        conditions=_condition_rows(a, predicted, len(labels)),
        temperature=temperature(every, targets),
        calibrated_on=calibrated_on,
        ece_before=metrics.ece(softmax(every), targets),
        ece_after=metrics.ece(scores, targets),
        abstain_below=threshold,
        answered=float(answered.mean()),
        answered_wa=float(right[answered].mean()) if answered.any() else 0.0,
        curves=[
            Curve(r.fold, r.seed, r.losses, r.validation, r.chosen_epoch)
            for r in sorted(results, key=lambda r: plan.seeds.index(r.seed))
        ],
        answers=_rows(a, predicted, scores.max(axis=1).reshape(-1, seeds)),
    )


def _trainings(origins: Sequence[Origin | None]) -> list[Training]:
    found = Counter((o.date, o.commit) if o else ("", "unknown") for o in origins)
    return [Training(commit, date, models) for (date, commit), models in sorted(found.items())]


def _precision(results: Sequence[FoldResult]) -> str:
    """The precision that all folds share; "" if they differ, or it is not known."""
    (first, *others) = {result.precision for result in results}
    return "" if others else first


def _called(path: Path) -> str:
    """A run's folder name, or that and the checkpoint's."""
    return f"{path.parent.name}/{path.name}" if path.suffix == ".pt" else path.name


def _pooled(results: Sequence[FoldResult], seeds: Sequence[int]) -> _Predictions:
    """Raises ValueError when the seeds did not score the same utterances, which is a bug."""
    of = {(r.fold, r.seed): r for r in results}
    firsts = [r for r in results if r.seed == seeds[0]]
    same = all(
        (fold.fold, seed) in of and of[fold.fold, seed].utterances == fold.utterances
        for fold in firsts
        for seed in seeds
    )
    if not same or len(firsts) * len(seeds) != len(results):
        raise ValueError("the seeds have not scored the same utterances in the same folds")
    return _Predictions(
        utterance=[name for r in firsts for name in r.utterances],
        speaker=[speaker for r in firsts for speaker in r.speakers],
        corpus=[corpus for r in firsts for corpus in r.corpora],
        fold=[r.fold for r in firsts for _ in r.targets],
        target=np.array([t for r in firsts for t in r.targets], np.int64),
        logits={
            condition: np.concatenate(
                [np.stack([of[r.fold, s].logits[i] for s in seeds], axis=1) for r in firsts]
            ).astype(np.float64)
            for i, condition in enumerate(firsts[0].conditions)
        },
    )


def _rows(a: _Predictions, predicted: Ints, confidence: Doubles) -> list[Prediction]:
    return [
        Prediction(utterance, speaker, fold, target, labels, scores)
        for utterance, speaker, fold, target, labels, scores in zip(
            a.utterance,
            a.speaker,
            a.fold,
            a.target.tolist(),
            predicted.tolist(),
            confidence.round(3).tolist(),
            strict=True,
        )
    ]


def _calibration_groups(a: _Predictions) -> tuple[Ints, str]:
    """Groups (n,) that each get a temperature fitted on the others, and what those others are."""
    apart = len(set(a.utterance)) == len(a.utterance)
    for name, groups in (("folds", a.fold if apart else []), ("speakers", a.speaker)):
        if len(set(groups)) > 1:
            return np.unique(groups, return_inverse=True)[1], f"the other {name}"
    return np.zeros(len(a.target), np.int64), "the same answers"


def _fold_rows(
    a: _Predictions, predicted: Ints, results: Sequence[FoldResult], labels: list[str]
) -> list[FoldRow]:
    rows = []
    for fold in dict.fromkeys(a.fold):
        held = np.array(a.fold) == fold
        matrices = _matrices(a.target[held], predicted[held], len(labels))
        seconds = sum(r.seconds for r in results if r.fold == fold)
        speakers = sorted({s for s, inside in zip(a.speaker, held, strict=True) if inside})
        lacking = [label for i, label in enumerate(labels) if i not in a.target[held]]
        wa, ua, f1 = (float(metric(matrices).mean()) for metric in METRICS.values())
        rows.append(FoldRow(fold, speakers, int(held.sum()), wa, ua, f1, seconds, lacking))
    return rows


def _corpus_rows(a: _Predictions, predicted: Ints, labels: int) -> list[CorpusRow]:
    rows = []
    for corpus in sorted(set(a.corpus)):
        held = np.flatnonzero(np.array(a.corpus) == corpus)
        names = [a.utterance[i] for i in held]
        counts = bootstrap.tables(names, a.target[held], predicted[held], labels)
        estimates = [bootstrap.interval(metric, counts) for metric in METRICS.values()]
        speakers = len({a.speaker[i] for i in held})
        rows.append(CorpusRow(corpus, speakers, counts.shape[1], *estimates))
    return rows


def _condition_rows(a: _Predictions, clean: Ints, labels: int) -> list[ConditionRow]:
    rows = []
    for condition in a.logits:
        predicted = a.predicted(condition)
        matrices = _matrices(a.target, predicted, labels)
        wa, ua = metrics.was(matrices).mean(), metrics.uas(matrices).mean()
        rows.append(
            ConditionRow(condition, float(wa), float(ua), float((predicted != clean).mean()))
        )
    return rows


def _matrices(targets: Ints, predicted: Ints, labels: int) -> Ints:
    """A confusion matrix for each seed (seeds, labels, labels)."""
    return np.stack([metrics.confusion(targets, row, labels) for row in predicted.T])
