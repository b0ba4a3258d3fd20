"""A terminal for text that others wrote: names of files, answers of a lake, words of a report."""

from __future__ import annotations

from rich.console import Console


def plain_console() -> Console:
    """Shows text as it is: what looks like markup or an emoji's name to rich may be a file's."""
    return Console(highlight=False, markup=False, emoji=False)
