"""``edgeser evaluate``: a protocol's folds trained and scored, and a report of them."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from edgeser.cli.extras import (
    cache_option,
    corpus_option,
    fold_named,
    need_extra,
    recipe_option,
    seed_option,
    trainable_option,
)

if TYPE_CHECKING:
    from edgeser_train.folds import FoldResult


@click.command()
@trainable_option
@corpus_option
@click.option("--protocol", default="loso", show_default=True, help="loso or loso_val.")
@click.option(
    "--part",
    type=click.Choice(["test", "validation"]),
    default="test",
    show_default=True,
    help="What is scored; choose recipes on the validation part of loso_val.",
)
@click.option("--folds", metavar="A,B", help="Only these folds.")
@recipe_option
@seed_option
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
def evaluate(
    model: str,
    corpus: str,
    protocol: str,
    part: str,
    folds: str | None,
    settings: tuple[str, ...],
    seed: int,
    jobs: int,
    cache: Path,
    output: Path,
    report_folder: Path | None,
) -> None:
    """Train and score every fold of a protocol, then write the report.

    Stop it at any time: the same command goes on behind the last whole fold.

    \b
    Example: edgeser evaluate --model lightweight --corpus emodb=/data/emodb
             --protocol loso --jobs 2 -o runs/loso
    """
    need_extra("train")
    from edgeser_train.corpora import load_corpus
    from edgeser_train.folds import Plan, run_folds
    from edgeser_train.protocols import folds_of
    from edgeser_train.recipe import Recipe, changed
    from edgeser_train.report import report_of
    from edgeser_train.report_files import write

    recipe = changed(Recipe(), settings)
    data = load_corpus(corpus)
    chosen = folds_of(protocol, data)
    if folds is not None:
        chosen = [fold_named(name, chosen, protocol) for name in folds.split(",")]
    plan = Plan(data, recipe, protocol, "validation" if part == "validation" else "test", seed)
    results = run_folds(plan, chosen, output, cache, jobs=jobs, on_result=_tell)
    report = report_of(plan, results, _command_line(corpus))
    folder = report_folder or output / "report"
    write(report, folder)
    click.echo(
        f"WA {100 * report.wa.value:.1f} % ({100 * report.wa.low:.1f} to "
        f"{100 * report.wa.high:.1f}), UA {100 * report.ua.value:.1f} % "
        f"({100 * report.ua.low:.1f} to {100 * report.ua.high:.1f}); {folder / 'report.md'}"
    )


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


def _command_line(corpus: str) -> str:
    """As typed, without the folder of the corpus, which is nobody else's."""
    name, _, path = corpus.partition("=")
    words = [word.replace(f"{name}={path}", f"{name}=PATH") for word in sys.argv[1:]]
    return shlex.join(["edgeser", *words])
