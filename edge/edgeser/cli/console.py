"""A terminal for text that others wrote: names of files, answers of a lake, words of a report."""

from __future__ import annotations

from rich.cells import cell_len
from rich.console import Console
from rich.measure import Measurement
from rich.table import Table

_UNBOUNDED = 1_000_000
"""Columns: wider than any table."""


def plain_console() -> Console:
    """Shows text as it is: what looks like markup or an emoji's name to rich may be a file's."""
    return Console(highlight=False, markup=False, emoji=False)


def width_of(table: Table, console: Console) -> Measurement:
    """How many columns of a terminal a table takes, at least and at most."""
    return Measurement.get(console, console.options.update(max_width=_UNBOUNDED), table)


def print_table(table: Table, kept: int) -> None:
    """Print a table at full width; a terminal that is too narrow gets it without the last columns.

    Columns that may wrap do so between words. ``kept``: columns that are shown in any case.
    """
    console = plain_console()
    for column in table.columns:
        if column.no_wrap:
            texts = map(str, (column.header, *column.cells))
            column.min_width = max(map(cell_len, texts))
    width = width_of(table, console)
    left_out: list[str] = []
    if console.is_terminal:
        while width.minimum > console.width and len(table.columns) > kept:
            left_out.insert(0, str(table.columns.pop().header))
            width = width_of(table, console)
        console.width = max(console.width, width.minimum)
    else:
        console.width = max(console.width, width.maximum)
    console.print(table)
    if left_out:
        console.print(f"no room for {', '.join(left_out)}: widen the terminal, or use --json")
