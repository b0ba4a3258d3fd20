"""``edgeser train``: a corpus in, a checkpoint out."""

from __future__ import annotations

import os
from contextlib import nullcontext
from pathlib import Path

import click

from edgeser_train.commands.options import (
    cache_option,
    corpus_option,
    data_seed_option,
    failures_told,
    fold_named,
    initialise_option,
    named_recipe_option,
    need_extra,
    recipe_option,
    seed_option,
    teacher_option,
    trainable_option,
)


@click.command()
@trainable_option
@corpus_option
@click.option(
    "--protocol",
    default="full",
    show_default=True,
    help="What trains; any that `edgeser evaluate` knows.",
)
@click.option("--fold", metavar="NAME", help="The fold of a protocol that has several.")
@named_recipe_option
@recipe_option
@teacher_option
@initialise_option
@seed_option
@data_seed_option
@cache_option
@click.option(
    "-o", "--output", required=True, type=click.Path(path_type=Path), help="Folder of model.pt."
)
@failures_told()
def train(
    model: str,
    corpora: tuple[str, ...],
    protocol: str,
    fold: str | None,
    recipe_name: str,
    settings: tuple[str, ...],
    teachers: tuple[Path, ...],
    initialise: Path | None,
    seed: int,
    data_seed: int,
    cache: Path,
    output: Path,
) -> None:
    """Train a model and write OUTPUT/model.pt.

    It trains on the CPU, or on a GPU where there is one; `torchrun --nproc-per-node N -m edgeser
    train ...` trains on several, or on several hosts. Curves go to OUTPUT/logs, as CSV and for
    TensorBoard. Stop it at any time: the same command goes on behind the last epochs it kept.
    Nothing is scored: that is what `edgeser evaluate` is for.

    \b
    Examples: edgeser train --model lightweight --corpus emodb=/data/emodb -o runs/emodb
              edgeser train --model eca-cnn --corpus emodb=/data/emodb --set epochs=80 -o runs/eca
    """
    need_extra("train")
    from edgeser_train.corpora import load_corpora
    from edgeser_train.data.frames import corpus_frames
    from edgeser_train.data.protocols import folds_of
    from edgeser_train.evaluation.folds import Plan
    from edgeser_train.files import alone_in
    from edgeser_train.sound.sounds import load_sounds
    from edgeser_train.training import checkpoint
    from edgeser_train.training.batches import Material
    from edgeser_train.training.recipe import changed
    from edgeser_train.training.recipes import recipe_of
    from edgeser_train.training.start import start_of
    from edgeser_train.training.states import forget
    from edgeser_train.training.teacher import teacher_of
    from edgeser_train.training.training import check_fit
    from edgeser_train.training.training import train as train_model

    data = load_corpora(corpora)
    teacher = teacher_of(teachers)
    start = start_of(initialise)
    named = recipe_of(model, recipe_name, labels=len(data.labels), taught=bool(teachers))
    recipe = changed(named, settings)
    chosen = fold_named(fold, folds_of(protocol, data, data_seed), protocol)
    check_fit(recipe, data, chosen)
    plan = Plan(
        data, recipe, protocol, seeds=(seed,), data_seed=data_seed, teacher=teacher, start=start
    )
    work = output / "unfinished" / f"{chosen.name}-seed{seed}-{plan.key}"
    started = start.of(data, chosen)[0] if start else None
    origin = checkpoint.origin_of(data, recipe, protocol, chosen, seed, plan.forebears(chosen))
    first = os.environ.get("RANK", "0") == "0"
    with alone_in(output) if first else nullcontext():
        if first:
            click.echo(f"{len(chosen.train)} utterances, {recipe.epochs} epochs", err=True)
        answers = teacher.logits(data, chosen, load_sounds(data, cache)) if teacher else None
        material = Material(data, corpus_frames(data, recipe, cache), recipe, answers)
        trained = train_model(
            material,
            chosen,
            work,
            seed=seed,
            data_seed=data_seed,
            logs=output / "logs",
            progress=first,
            start=started,
        )
        if first:
            checkpoint.save(output / "model.pt", trained.model, origin)
            forget(work)
            click.echo(f"{output / 'model.pt'}: training loss {trained.losses[-1]:.3f}")
