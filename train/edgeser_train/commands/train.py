"""``edgeser train``: a corpus in, a checkpoint out."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path

import click

from edgeser.cli.options import PATH
from edgeser_train.commands.options import (
    LARGEST_SEED,
    ProtocolName,
    experiment_options,
    need_extra,
    report_failures,
)


@click.command()
@experiment_options
@click.option(
    "--protocol",
    type=ProtocolName(),
    default="full",
    show_default=True,
    help="What trains.",
)
@click.option("--fold", metavar="NAME|NUMBER", help="The fold of a protocol that has several.")
@click.option(
    "--seed",
    default=1,
    show_default=True,
    type=click.IntRange(0, LARGEST_SEED),
    metavar="N",
    help="Seed of the initial weights and of dropout.",
)
@click.option(
    "-o", "--output", required=True, type=PATH, metavar="FOLDER", help="Folder of model.pt."
)
@report_failures()
def train(
    model: str,
    corpora: tuple[str, ...],
    labels: str | None,
    protocol: str,
    fold: str | None,
    recipe_name: str | None,
    settings: tuple[str, ...],
    teachers: tuple[Path, ...],
    initialise: Path | None,
    seed: int,
    data_seed: int,
    cache: Path,
    dry_run: bool,
    output: Path,
) -> None:
    """Train a model and write OUTPUT/model.pt.

    It trains on a GPU if there is one, otherwise on the CPU; `torchrun --nproc-per-node N -m
    edgeser train ...` trains on several, or on several hosts. Curves go to OUTPUT/logs, as CSV and
    for TensorBoard. Stop it at any time: the same command continues after the last saved epoch. A
    finished model.pt is not overwritten. Nothing is scored: use `edgeser evaluate` for that.

    \b
    Examples: edgeser train --model lightweight --corpus emodb=/data/emodb -o runs/emodb
              edgeser train --model eca-cnn --corpus emodb=/data/emodb --set epochs=80 -o runs/eca
    """
    need_extra("train")
    from edgeser_train import experiments
    from edgeser_train.commands.dry_run import describe
    from edgeser_train.commands.progress_display import ProgressDisplay
    from edgeser_train.workers import is_rank_zero

    plan = experiments.planned(
        model,
        corpora,
        labels=labels,
        protocol=protocol,
        recipe=recipe_name,
        settings=settings,
        seeds=(seed,),
        data_seed=data_seed,
        teachers=teachers,
        start=initialise,
    )
    chosen = experiments.only_fold(plan, fold)
    if dry_run:
        click.echo(describe(plan, [chosen]))
        return
    shown = is_rank_zero()
    if shown:
        click.echo(f"{len(chosen.train)} utterances, {plan.recipe.epochs} epochs", err=True)
    with ProgressDisplay(output, 1, plan.recipe.epochs) if shown else nullcontext():
        done = experiments.train(plan, output, fold=fold, cache=cache)
    if done is not None:
        click.echo(f"{output / 'model.pt'}: training loss {done.trained.losses[-1]:.3f}")
    elif shown:
        click.echo(f"{output / 'model.pt'}: trained already; remove it to train it again")
