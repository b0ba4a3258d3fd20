"""The navigation, from the one list of pages kept by hand: the README's table "Read on"."""

from __future__ import annotations

import re
from pathlib import PurePosixPath
from typing import NamedTuple

_TABLE = re.compile(r"^## Read on\n+\|[^\n]*\n\|[-| ]*\n((?:\|[^\n]*\n)+)", re.M)
_LINK = re.compile(r"\]\(([^)#\s]+\.md)(?:#[^)]*)?\)")


class Row(NamedTuple):
    """A row of the table: a heading of the site's navigation, and the pages below it."""

    caption: str
    pages: tuple[PurePosixPath, ...]


def navigation(readme: str) -> list[Row]:
    """The rows, with paths in the repository. The caption is the first cell up to a colon or a
    comma. Raises ValueError without such a table."""
    table = _TABLE.search(readme)
    if table is None:
        raise ValueError("README.md: no table below the heading 'Read on'")
    rows = []
    for line in table[1].splitlines():
        wish, links = line.strip("|").split("|", 1)
        caption = re.split("[:,]", wish.strip())[0]
        pages = tuple(PurePosixPath(path) for path in _LINK.findall(links))
        rows.append(Row(caption[:1].upper() + caption[1:], pages))
    return rows
