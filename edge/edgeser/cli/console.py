"""A terminal for text from outside: names of files, answers of a lake, words of a report."""

from __future__ import annotations

from rich.cells import cell_len
from rich.console import Console
from rich.measure import Measurement
from rich.table import Table

_UNBOUNDED = 1_000_000
"""Columns: wider than any table."""


def plain_console() -> Console:
    """A console that prints text literally: a file's name may look like markup or emoji to rich."""
    return Console(highlight=False, markup=False, emoji=False)


def width_of(table: Table, console: Console) -> Measurement:
    """The least and the most columns of a terminal that a table takes."""
    return Measurement.get(console, console.options.update(max_width=_UNBOUNDED), table)


def print_table(table: Table, kept: int) -> None:
    """Print a table at full width; on a terminal that is too narrow, without the last columns.

    Columns that may wrap do so between words. ``kept``: number of columns that are always shown.
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
