"""Results of folds, and predictions for unseen voices, made up without any training."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np

from edgeser_train.corpora import Corpus, Utterance
from edgeser_train.data.protocols import Fold, folds_of
from edgeser_train.evaluation.folds import FoldResult, Plan
from edgeser_train.evaluation.unseen import (
    Predictions,
)
from edgeser_train.training.recipes import recipe_of

LABELS = ("angry", "happy", "neutral", "sad")
UNSEEN_LABELS = ("angry", "fearful", "happy", "neutral", "sad")


def plan(
    *,
    speakers: int = 4,
    each: int = 12,
    seeds: tuple[int, ...] = (1,),
    corpora: tuple[str, ...] = ("emodb",),
    protocol: str = "loso",
    patience: int = 0,
    part: str = "test",
    heard: tuple[str, ...] = ("clean", "gain -20 dB"),
) -> Plan:
    """A plan over utterances that have no sound; corpora take turns by speaker."""
    utterances = tuple(
        Utterance(
            name=f"{speaker:02}{i:02}",
            path=Path("/nowhere"),
            speaker=f"{speaker:02}",
            label=LABELS[i % 4],
            corpus=corpora[speaker % len(corpora)],
        )
        for speaker in range(speakers)
        for i in range(each)
    )
    recipe = msgspec.structs.replace(recipe_of("lightweight"), patience=patience)
    corpus = Corpus("+".join(corpora), "CC0-1.0", LABELS, utterances)
    return Plan(
        corpus,
        recipe,
        protocol,
        part=part,  # type: ignore[arg-type]
        seeds=seeds,
        conditions=heard,
    )


def results(plan: Plan, *, skill: float = 2.0, stream: int = 0) -> list[FoldResult]:
    """Results of every fold and seed; ``skill``: how much higher the correct logit is."""
    folds = folds_of(plan.protocol, plan.corpus, plan.data_seed)
    return [_result(plan, fold, seed, skill, stream) for seed in plan.seeds for fold in folds]


def _result(plan: Plan, fold: Fold, seed: int, skill: float, stream: int) -> FoldResult:
    scored = fold.test if plan.part == "test" else fold.validation
    held = [plan.corpus.utterances[i] for i in scored]
    rng = np.random.default_rng([stream, seed, scored[0]])
    targets = np.array([LABELS.index(u.label) for u in held])
    clean = rng.normal(0, 1, (len(held), 4)) + skill * np.eye(4)[targets]
    logits = [clean + c * rng.normal(0, 1, clean.shape) for c in range(len(plan.conditions))]
    watched = bool(plan.recipe.patience)
    rising = 0.8 - 0.5 * 0.8 ** np.arange(12) + 0.03 * rng.normal(0, 1, 12)
    return FoldResult(
        fold=fold.name,
        part=plan.part,
        key="key",
        seed=seed,
        utterances=[u.name for u in held],
        speakers=[u.speaker for u in held],
        corpora=[u.corpus for u in held],
        targets=targets.tolist(),
        conditions=list(plan.conditions),
        logits=[rows.tolist() for rows in logits],
        losses=(1.3 * 0.9 ** np.arange(12) + 0.05 * rng.random(12)).tolist(),
        validation=rising.tolist() if watched else [],
        chosen_epoch=int(rising.argmax()) + 1 if watched else 12,
        seconds=2.0,
    )


def predictions_of(targets: list[int], logits: np.ndarray) -> Predictions:
    """Logits (n, labels) for n utterances by six speakers."""
    speakers = tuple("abcdef"[i % 6] for i in range(len(targets)))
    return Predictions("x", UNSEEN_LABELS, logits, np.array(targets), speakers)
