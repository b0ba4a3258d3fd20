"""What the scripts of ``benchmarks`` and ``tests/trials`` share: options, report and exit code."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NoReturn

from edgeser.errors import UserError


class Parser(argparse.ArgumentParser):
    """Reports errors in one line, and exits with 2."""

    def error(self, message: str) -> NoReturn:
        """As in ``argparse``."""
        self.exit(2, f"{Path(self.prog).stem}: {message}\n")


def count(text: str) -> int:
    """The type of an argument that is a whole number, 1 or more."""
    if not text.isascii() or not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number, 1 or more, got '{text}'")
    return int(text)


def parser_of(doc: str, *, as_json: bool = False) -> Parser:
    """A parser described by the first line of the script's docstring; ``as_json``: with --json."""
    parser = Parser(description=doc.partition("\n")[0])
    if as_json:
        parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    return parser


def show(figures: Mapping[str, object], *, as_json: bool) -> None:
    """Print the figures: a line each, or all as one JSON object."""
    if as_json:
        print(json.dumps(figures))
        return
    width = max(map(len, figures))
    for name, value in figures.items():
        print(f"{name:<{width}}  {value}")


def without_folders(words: Sequence[str]) -> list[str]:
    """The words without private paths: corpora by name, absolute paths by their last part."""
    named = [w.partition("=")[0] + "=PATH" if "=" in w and "," not in w else w for w in words]
    return [Path(w).name if w.startswith("/") else w for w in named]


def run(main: Callable[[], bool | None]) -> NoReturn:
    """Run ``main`` and exit: with 1 if it returns False, i.e. what it checks does not hold, else 0.

    A UserError is reported in one line, with exit code 2; after Ctrl-C it is 130.
    """
    try:
        holds = main()
    except UserError as error:
        print(f"{Path(sys.argv[0]).stem}: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)
    sys.exit(0 if holds is None or holds else 1)
