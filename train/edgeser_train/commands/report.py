"""``edgeser report``: evaluations side by side."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from edgeser.cli.options import PATH, json_option
from edgeser.errors import UserError
from edgeser_train.commands.options import need_extra

if TYPE_CHECKING:
    from edgeser_train.evaluation.side_by_side import Sheet

_NAME_WIDTH = 15
"""Fewest columns for a run's name, however narrow the terminal."""


@click.command(
    epilog="""Examples:

    \b
    edgeser report runs/loso runs/eca
    edgeser report docs/reports/*/report.json -o table.md
    edgeser report runs/* -o figures.csv
    """
)
@click.argument("runs", nargs=-1, required=True, metavar="RUN...", type=PATH)
@click.option(
    "-o",
    "--output",
    metavar="FILE",
    type=PATH,
    help="Also write to a file: FILE.md all tables, FILE.csv figures, FILE.tex a table.",
)
@json_option
def report(runs: tuple[Path, ...], output: Path | None, as_json: bool) -> None:
    """Compare the reports of 'edgeser evaluate'.

    RUN is the folder of an evaluation, of its report, or a report.json; folders without a report,
    such as those of trainings, are left out. Every other run is compared
    to the first on the utterances that both scored: the difference with its 95 % interval (paired
    bootstrap), and McNemar's exact test.
    """
    need_extra("train")
    import msgspec

    from edgeser_train.evaluation.comparison import compare
    from edgeser_train.evaluation.evaluation import Evaluation
    from edgeser_train.evaluation.evaluation_files import read
    from edgeser_train.evaluation.side_by_side import as_document, markdown, names_of, sheets
    from edgeser_train.evaluation.tables import as_csv, as_latex
    from edgeser_train.files import write_whole

    if output is not None and output.suffix not in (".md", ".csv", ".tex"):
        raise UserError(f"-o {output}: no table of that kind", "name it .md, .csv or .tex")
    runs = _with_reports(runs)
    evaluations = [read(run, Evaluation) for run in runs]
    names = names_of(runs)
    comparisons = [
        compare((names[0], name), evaluations[0], evaluation)
        for name, evaluation in zip(names[1:], evaluations[1:], strict=True)
    ]
    made = sheets(names, evaluations, comparisons)
    if output is not None:
        if output.suffix == ".csv":
            table = as_csv(names, evaluations)
        elif output.suffix == ".tex":
            table = as_latex(names, evaluations)
        else:
            table = markdown(made)
        write_whole(output, table.encode())
    if as_json:
        click.echo(msgspec.json.encode(as_document(names, evaluations, comparisons)).decode())
        return
    for sheet in made:
        _show(sheet)
    if output is not None:
        click.echo(f"written: {output}")


def _with_reports(runs: tuple[Path, ...]) -> tuple[Path, ...]:
    """The runs but for folders without a report, which are listed, unless there is nothing else."""
    from edgeser_train.evaluation.evaluation_files import find_report

    kept: list[Path] = []
    refusals: list[UserError] = []
    for run in runs:
        try:
            find_report(run)
        except UserError as error:
            if not run.is_dir():
                raise
            refusals.append(error)
        else:
            kept.append(run)
    if not kept:
        raise refusals[0]
    for refusal in refusals:
        click.echo(f"{refusal.what}, left out", err=True)
    return tuple(kept)


def _show(sheet: Sheet) -> None:
    from rich import box
    from rich.table import Table

    from edgeser.cli.console import plain_console

    table = Table(
        box=box.SIMPLE_HEAD,
        title=sheet.title,
        title_justify="left",
        pad_edge=False,
        padding=(0, 1, 0, 0),
    )
    for i, column in enumerate(sheet.header):
        if i < sheet.words:
            table.add_column(column, overflow="fold", min_width=0 if i else _NAME_WIDTH)
        else:
            table.add_column(column, justify="right", no_wrap=True)
    for row in sheet.rows:
        table.add_row(*row)
    console = plain_console()
    console.print(table)
    for note in sheet.notes:
        console.print(note)
    if sheet.notes:
        console.print()
