"""The blocks of code in the README and the documentation."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tools.documentation.pages import LISTED, ROOT, written

_BLOCK = re.compile(r"^( *)```(\w*)\n(.*?)^\1```$", re.M | re.S)


@dataclass(frozen=True)
class Block:
    """One block; ``line`` is where it begins in its page."""

    page: str
    line: int
    language: str
    text: str

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


def all_blocks() -> list[Block]:
    """The blocks of all hand-written pages, i.e. of all but the reports."""
    pages = [page for page in written() if LISTED not in page.parents]
    return [block for page in pages for block in _blocks(str(page))]


def of(*languages: str) -> list[Block]:
    return [block for block in all_blocks() if block.language in languages]


def _blocks(page: str) -> Iterator[Block]:
    text = (Path(ROOT) / page).read_text(encoding="utf-8")
    for found in _BLOCK.finditer(text):
        yield Block(page, text.count("\n", 0, found.start()) + 1, found[2], found[3])
