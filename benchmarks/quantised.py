"""What half precision and integers cost and gain, fold by fold of an evaluation.

python benchmarks/quantised.py runs/loso --corpus emodb=/data/emodb -o docs/reports/my-model
"""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

import click
import msgspec
import torch

from edgeser.errors import UserError
from edgeser_export.variants import ROUNDS, compare
from edgeser_export.variants_text import markdown
from edgeser_train.corpora import load_corpora
from edgeser_train.files import write_whole


@click.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--corpus", "corpora", required=True, multiple=True, metavar="NAME=PATH")
@click.option("--labels", metavar="A,B", help="As the evaluation was given.")
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path), help="A folder.")
@click.option("--rounds", default=ROUNDS, show_default=True, type=click.IntRange(min=1))
def main(
    run: Path, corpora: tuple[str, ...], labels: str | None, output: Path, rounds: int
) -> None:
    """Write OUTPUT/quantised.md and .json about the folds that `edgeser evaluate -o RUN` left."""
    torch.set_num_threads(1)
    words = ["python", "benchmarks/quantised.py", *_without_folders(sys.argv[1:])]
    try:
        report = compare(run, load_corpora(corpora, labels), shlex.join(words), rounds)
    except UserError as error:
        raise click.ClickException(str(error)) from error
    write_whole(output / "quantised.json", msgspec.json.format(msgspec.json.encode(report)))
    write_whole(output / "quantised.md", markdown(report).encode())
    click.echo(markdown(report))


def _without_folders(words: list[str]) -> list[str]:
    """The words with corpora by name only, without their private paths."""
    return [word.partition("=")[0] + "=..." if "=" in word else word for word in words]


if __name__ == "__main__":
    main()
