"""``--dry-run``: what would be trained, in words."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from edgeser_train.corpora import Corpus
from edgeser_train.data.protocols import PROTOCOLS, Fold, folds_of
from edgeser_train.evaluation.folds import Plan, kept_names
from edgeser_train.training.precision import precision_of


def describe(plan: Plan, folds: Sequence[Fold], run: Path | None = None) -> str:
    """What training these folds of the plan means; ``run``: the folder that may hold some already.

    Raises UserError as ``Plan.check`` does.
    """
    recipe, corpus = plan.recipe, plan.corpus
    for fold in folds:
        plan.check(fold)
    model = recipe.network()
    recipe.loss.check(model)
    kept = kept_names(plan, folds, run) if run else set()
    seeds = ", ".join(map(str, plan.seeds))
    speakers = PROTOCOLS[plan.protocol].description
    lines = [
        f"model     {recipe.name}, {model.count_weights():,} parameters, precision "
        f"{precision_of(recipe.precision)} on this machine",
        f"corpus    {corpus.name}: {len(corpus.utterances)} utterances of "
        f"{len(corpus.speakers)} speakers ({_labels(corpus)}); licence {corpus.licence}",
        f"protocol  {plan.protocol}: {speakers}",
        f"training  {recipe.epochs} epochs{' at most' if recipe.patience else ''}, batches of "
        f"{recipe.batch}, seed {seeds}; {len(folds) * len(plan.seeds) - len(kept)} trainings",
    ]
    if kept:
        lines.append(f"kept      {len(kept)} that are not trained again")
    names = [fold.name for fold in folds_of(plan.protocol, corpus, plan.data_seed)]
    for fold in folds:
        number = names.index(fold.name) + 1
        held = f", {len(fold.validation)} validate" if fold.validation else ""
        lines.append(
            f"fold {number:<4} {fold.name}: {len(fold.train)} train{held}, {len(fold.test)} test"
        )
    return "\n".join(lines)


def _labels(corpus: Corpus) -> str:
    counts = [sum(corpus.targets == i) for i in range(len(corpus.labels))]
    return ", ".join(f"{label} {n}" for label, n in zip(corpus.labels, counts, strict=True))
