"""The pages of the site, with their links adapted to it."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from posixpath import normpath, relpath

from tools.documentation import cards, reference
from tools.documentation.navigation import Row, navigation

ROOT = Path(__file__).parents[2]
FRONT = PurePosixPath("README.md")
BESIDE_DOCS = ("CONTRIBUTING.md", "CHANGELOG.md")
BROWSER = PurePosixPath("examples/browser")
"""A web page that is copied to a folder of its own on the site."""

LISTED = PurePosixPath("docs/reports")
"""Reports need not be in the README's table: one page lists them all."""

_FENCE = re.compile(r"^ *(```|~~~)")
_LINK = re.compile(r"(?<=\]\()([^)\s]+)(?=\))")
_SCHEME = re.compile(r"[a-z]+:")


class SiteError(Exception):
    """The site cannot be made as it stands."""


def written(root: Path = ROOT) -> list[PurePosixPath]:
    """The hand-written pages, by their path in the repository."""
    there = [name for name in BESIDE_DOCS if (root / name).is_file()]
    docs = sorted(path.relative_to(root) for path in (root / "docs").rglob("*.md"))
    return [FRONT, *map(PurePosixPath, there), *map(PurePosixPath, docs)]


def sections(root: Path = ROOT) -> list[Row]:
    """The rows of the README's table "Read on". Raises SiteError for a page that it leaves out."""
    rows = navigation((root / FRONT).read_text(encoding="utf-8"))
    named = {path for row in rows for path in row.pages}
    missing = [
        str(page)
        for page in written(root)
        if page != FRONT and page not in named and LISTED not in page.parents
    ]
    if missing:
        raise SiteError(f"not in the README's table 'Read on': {', '.join(missing)}")
    return rows


def stage(folder: Path, root: Path = ROOT) -> None:
    """Write all pages, and what they show, into ``folder``. Raises SiteError."""
    rows = sections(root)
    for page in written(root):
        text = _linked(page, (root / page).read_text(encoding="utf-8"), folder, root)
        if page == FRONT:
            text += _contents(rows)
        _write(folder / _place(page), text)
    for name, text in {**reference.pages(), **cards.pages(root)}.items():
        _write(folder / name, text)


def _contents(rows: list[Row]) -> str:
    made = [Row("Reference", tuple(PurePosixPath(name) for name in reference.CONTENTS))]
    blocks = []
    for row in rows + made:
        entries = "\n".join(str(_place(page).with_suffix("")) for page in row.pages)
        blocks.append(f"\n```{{toctree}}\n:hidden:\n:caption: {row.caption}\n\n{entries}\n```\n")
    return "".join(blocks)


def _place(path: PurePosixPath) -> PurePosixPath:
    """The path on the site of a file of the repository."""
    if path == FRONT:
        return PurePosixPath("index.md")
    if path.parts[0] == "docs":
        return path.relative_to("docs")
    return path if str(path) in BESIDE_DOCS or path.parts[0] == "reference" else "files" / path


def _linked(page: PurePosixPath, text: str, folder: Path, root: Path) -> str:
    """The page with its links adapted to the site; linked files other than pages are copied."""
    here = _place(page).parent

    def moved(found: re.Match[str]) -> str:
        target, hash_, anchor = found[1].partition("#")
        if not target or _SCHEME.match(target):
            return found[1]
        path = PurePosixPath(normpath(page.parent / target))
        if not (root / path).is_file():
            raise SiteError(f"{page}: the link '{found[1]}' leads to no file")
        if BROWSER in path.parents and path.suffix == ".html":
            return f"site:{relpath(PurePosixPath('browser') / path.name, here)}"
        place = _place(path)
        if path.suffix != ".md":
            (folder / place).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(root / path, folder / place)
        return relpath(place, here) + hash_ + anchor

    return "".join(line if in_code else _LINK.sub(moved, line) for line, in_code in _lines(text))


def _lines(text: str) -> Iterator[tuple[str, bool]]:
    """Every line, and whether it is in a block of code."""
    fence = ""
    for line in text.splitlines(keepends=True):
        mark = _FENCE.match(line)
        if mark and not fence:
            fence = mark[1]
        elif mark and mark[1] == fence:
            fence = ""
        yield line, bool(fence)


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
