"""``edgeser evaluate``: a protocol's folds trained and scored, and a report of them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from edgeser.cli.options import PATH
from edgeser.errors import UserError
from edgeser_train.commands.options import (
    LARGEST_SEED,
    ProtocolName,
    command_line,
    experiment_options,
    need_extra,
    report_failures,
)

if TYPE_CHECKING:
    from edgeser_train.evaluation.folds import FoldResult


@click.command()
@experiment_options
@click.option(
    "--protocol",
    type=ProtocolName(),
    default="loso",
    show_default=True,
    help="Who trains and who tests; random_kfold and zhong10 mix speakers, full tests nobody.",
)
@click.option(
    "--part",
    type=click.Choice(["test", "validation"]),
    default="test",
    show_default=True,
    help="What is scored; choose recipes on the validation part of loso_val.",
)
@click.option("--folds", metavar="A,B", help="Only these folds, by name or number.")
@click.option(
    "--seeds",
    default="1",
    show_default=True,
    metavar="N,N",
    help="Seeds of the initial weights and of dropout; each trains every fold once.",
)
@click.option(
    "--robustness",
    is_flag=True,
    help="Also score in noise, a room, a telephone band and a codec, not only with other gains.",
)
@click.option(
    "--jobs",
    default=1,
    show_default=True,
    type=click.IntRange(min=1),
    metavar="N",
    help="Folds trained at the same time.",
)
@click.option(
    "-o",
    "--output",
    required=True,
    type=PATH,
    metavar="FOLDER",
    help="Folder of the folds; those already in it are not trained again.",
)
@click.option(
    "--report",
    "report_folder",
    type=PATH,
    metavar="FOLDER",
    help="Folder of the report.  [default: OUTPUT/report]",
)
@report_failures()
def evaluate(
    model: str,
    corpora: tuple[str, ...],
    labels: str | None,
    protocol: str,
    part: str,
    folds: str | None,
    recipe_name: str | None,
    settings: tuple[str, ...],
    teachers: tuple[Path, ...],
    initialise: Path | None,
    seeds: str,
    data_seed: int,
    robustness: bool,
    jobs: int,
    cache: Path,
    dry_run: bool,
    output: Path,
    report_folder: Path | None,
) -> None:
    """Train and score every fold of a protocol, then write the report.

    Stop or kill it at any time: the same command continues after the last saved epoch.

    \b
    Examples: edgeser evaluate --model lightweight --corpus emodb=/data/emodb
                --protocol loso --jobs 2 -o runs/loso
              edgeser evaluate --corpus emodb=/data/emodb --corpus ravdess4=/data/ravdess
                --protocol cross -o runs/emodb-to-ravdess
    """
    need_extra("train")
    from edgeser_train import experiments
    from edgeser_train.commands.dry_run import describe
    from edgeser_train.commands.progress_display import ProgressDisplay
    from edgeser_train.evaluation.folds import check_scored
    from edgeser_train.sound.conditions import DEFAULT_CONDITIONS, ROBUSTNESS, missing

    plan = experiments.planned(
        model,
        corpora,
        labels=labels,
        protocol=protocol,
        recipe=recipe_name,
        settings=settings,
        part="validation" if part == "validation" else "test",
        seeds=_numbers(seeds),
        data_seed=data_seed,
        conditions=ROBUSTNESS if robustness else DEFAULT_CONDITIONS,
        teachers=teachers,
        start=initialise,
    )
    for condition, reason in missing().items() if robustness else ():
        click.echo(f"condition '{condition}' is left out: {reason}", err=True)
    names = None if folds is None else folds.split(",")
    chosen = experiments.folds_named(plan, names)
    if dry_run:
        check_scored(plan, chosen)
        click.echo(describe(plan, chosen, output))
        return
    with ProgressDisplay(output, len(chosen) * len(plan.seeds), plan.recipe.epochs) as display:

        def on_result(result: FoldResult, kept: bool) -> None:
            display.finished(kept)
            display.print(_line(result, kept, several_seeds=len(plan.seeds) > 1))

        report = experiments.evaluate(
            plan,
            output,
            folds=names,
            jobs=jobs,
            cache=cache,
            report=report_folder,
            command=command_line(corpora),
            on_result=on_result,
        )
    click.echo(
        f"WA {100 * report.wa.value:.1f} % ({100 * report.wa.low:.1f} to "
        f"{100 * report.wa.high:.1f}), UA {100 * report.ua.value:.1f} % "
        f"({100 * report.ua.low:.1f} to {100 * report.ua.high:.1f}); "
        f"{(report_folder or output / 'report') / 'report.md'}"
    )


def _numbers(seeds: str) -> tuple[int, ...]:
    try:
        numbers = tuple(int(word) for word in seeds.split(","))
    except ValueError:
        numbers = ()
    possible = all(0 <= number <= LARGEST_SEED for number in numbers)
    if not numbers or not possible or len(set(numbers)) < len(numbers):
        raise UserError(
            f"--seeds {seeds}: write different numbers from 0 to {LARGEST_SEED}, e.g. 1,2,3"
        )
    return numbers


def _line(result: FoldResult, kept: bool, *, several_seeds: bool) -> str:
    right = sum(
        max(range(len(row)), key=row.__getitem__) == target
        for row, target in zip(result.logits[0], result.targets, strict=True)
    )
    note = "kept" if kept else f"{result.seconds:.0f} s"
    share = 100 * right / len(result.targets)
    seed = f", seed {result.seed}" if several_seeds else ""
    return f"fold {result.fold}{seed}: {share:.1f} % of {len(result.targets)} right ({note})"
