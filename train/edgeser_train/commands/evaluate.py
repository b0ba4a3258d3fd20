"""``edgeser evaluate``: a protocol's folds trained and scored, and a report of them."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from edgeser.errors import UserError
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
    teacher_option,
    trainable_option,
)

if TYPE_CHECKING:
    from edgeser_train.evaluation.folds import FoldResult


@click.command()
@trainable_option
@corpus_option
@click.option(
    "--protocol",
    default="loso",
    show_default=True,
    help="loso, loso_val, speaker_kfold, cross, fixed; random_kfold and zhong10 mix speakers.",
)
@click.option(
    "--part",
    type=click.Choice(["test", "validation"]),
    default="test",
    show_default=True,
    help="What is scored; choose recipes on the validation part of loso_val.",
)
@click.option("--folds", metavar="A,B", help="Only these folds.")
@named_recipe_option
@recipe_option
@teacher_option
@initialise_option
@click.option(
    "--seeds",
    default="1",
    show_default=True,
    metavar="N,N",
    help="Of weights; each trains every fold once.",
)
@data_seed_option
@click.option(
    "--robustness",
    is_flag=True,
    help="Score in noise, a room, a telephone and a codec, too, not with other gains alone.",
)
@click.option(
    "--jobs",
    default=1,
    show_default=True,
    type=click.IntRange(min=1),
    help="Folds trained at the same time.",
)
@cache_option
@click.option(
    "-o",
    "--output",
    required=True,
    type=click.Path(path_type=Path),
    help="Folder of the folds; those already in it are not trained again.",
)
@click.option(
    "--report",
    "report_folder",
    type=click.Path(path_type=Path),
    help="Folder of the report.  [default: OUTPUT/report]",
)
@failures_told()
def evaluate(
    model: str,
    corpora: tuple[str, ...],
    protocol: str,
    part: str,
    folds: str | None,
    recipe_name: str,
    settings: tuple[str, ...],
    teachers: tuple[Path, ...],
    initialise: Path | None,
    seeds: str,
    data_seed: int,
    robustness: bool,
    jobs: int,
    cache: Path,
    output: Path,
    report_folder: Path | None,
) -> None:
    """Train and score every fold of a protocol, then write the report.

    Stop it at any time, or kill it: the same command goes on behind the last epochs that it kept.

    \b
    Examples: edgeser evaluate --model lightweight --corpus emodb=/data/emodb
                --protocol loso --jobs 2 -o runs/loso
              edgeser evaluate --corpus emodb=/data/emodb --corpus ravdess4=/data/ravdess
                --protocol cross -o runs/emodb-to-ravdess
    """
    need_extra("train")
    from edgeser_train.corpora import load_corpora
    from edgeser_train.data.protocols import folds_of
    from edgeser_train.evaluation.folds import Plan, origins_of, run_folds
    from edgeser_train.evaluation.report import report_of
    from edgeser_train.evaluation.report_files import write
    from edgeser_train.sound.conditions import DEFAULT_CONDITIONS, ROBUSTNESS, missing
    from edgeser_train.training.recipe import changed
    from edgeser_train.training.recipes import recipe_of
    from edgeser_train.training.start import start_of
    from edgeser_train.training.teacher import teacher_of

    data = load_corpora(corpora)
    teacher = teacher_of(teachers)
    start = start_of(initialise)
    named = recipe_of(model, recipe_name, labels=len(data.labels), taught=bool(teachers))
    chosen = folds_of(protocol, data, data_seed)
    if folds is not None:
        chosen = [fold_named(n, chosen, protocol) for n in dict.fromkeys(folds.split(","))]
    plan = Plan(
        data,
        changed(named, settings),
        protocol,
        "validation" if part == "validation" else "test",
        _numbers(seeds),
        data_seed,
        ROBUSTNESS if robustness else DEFAULT_CONDITIONS,
        teacher,
        start,
    )
    for condition, reason in missing().items() if robustness else ():
        click.echo(f"condition '{condition}' is left out: {reason}", err=True)
    results = run_folds(plan, chosen, output, cache, jobs=jobs, on_result=_tell)
    report = report_of(plan, results, _command_line(corpora), origins_of(output, results))
    folder = report_folder or output / "report"
    write(report, folder)
    click.echo(
        f"WA {100 * report.wa.value:.1f} % ({100 * report.wa.low:.1f} to "
        f"{100 * report.wa.high:.1f}), UA {100 * report.ua.value:.1f} % "
        f"({100 * report.ua.low:.1f} to {100 * report.ua.high:.1f}); {folder / 'report.md'}"
    )


def _numbers(seeds: str) -> tuple[int, ...]:
    try:
        numbers = tuple(int(word) for word in seeds.split(","))
    except ValueError:
        numbers = ()
    if not numbers or min(numbers) < 0 or len(set(numbers)) < len(numbers):
        raise UserError(f"--seeds {seeds}: write different numbers >= 0, e.g. 1,2,3")
    return numbers


def _tell(result: FoldResult, resumed: bool) -> None:
    right = sum(
        max(range(len(row)), key=row.__getitem__) == target
        for row, target in zip(result.logits[0], result.targets, strict=True)
    )
    note = "kept" if resumed else f"{result.seconds:.0f} s"
    share = 100 * right / len(result.targets)
    click.echo(
        f"fold {result.fold}: {share:.1f} % of {len(result.targets)} right ({note})", err=True
    )


def _command_line(corpora: tuple[str, ...]) -> str:
    """As typed, without the folders of the corpora, which are nobody else's."""
    words = sys.argv[1:]
    for corpus in corpora:
        name, _, path = corpus.partition("=")
        words = [word.replace(f"{name}={path}", f"{name}=PATH") for word in words]
    return shlex.join(["edgeser", *words])
