"""The end of a benchmark: its reports are saved, then its figures are shown, then it is judged."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import click

from edgeser.cli.output import ReaderGone
from edgeser.errors import UserError
from edgeser.whole_file import write_whole

if TYPE_CHECKING:
    import msgspec


def conclude(
    reports: Mapping[Path, Callable[[], bytes]],
    show: Callable[[], None] = lambda: None,
    broken: Sequence[str] = (),
) -> NoReturn:
    """Save, show, judge, in this order, so that failing output costs no report.

    ``reports``: the content of each file. ``broken``: the violated conditions. Exits with 1 if
    there is one, or a report cannot be saved, with 0 otherwise, also if the output's reader has
    gone. Raises UserError if standard output cannot be written.
    """
    failures = list(broken)
    for file, content in reports.items():
        try:
            _save(file, content())
        except OSError as error:
            failures.append(str(unwritable(file, error)))
    try:
        with contextlib.suppress(ReaderGone):
            show()
            sys.stdout.flush()
    finally:
        for line in failures:
            click.echo(f"edgeser: {line}", err=True)
    raise SystemExit(1 if failures else 0)


def printer(file: Path | None) -> Callable[[str], None]:
    """A function that prints a line of a running benchmark.

    ``file``: where its report will be saved; then it also goes on when the reader has gone.
    """

    def say(line: str) -> None:
        with contextlib.suppress(ReaderGone) if file else contextlib.nullcontext():
            click.echo(line)

    return say


def as_json(file: Path | None, report: msgspec.Struct) -> dict[Path, Callable[[], bytes]]:
    """The report for ``conclude``; empty without a file."""
    import msgspec

    if file is None:
        return {}
    return {file: lambda: msgspec.json.format(msgspec.json.encode(report), indent=1)}


def unwritable(file: Path, error: OSError) -> UserError:
    """Why a report cannot be saved."""
    return UserError(f"{file}: cannot be written: {error.strerror}", "name another file")


def _save(file: Path, content: bytes) -> None:
    """Write a file whole or not at all, but a device or pipe directly. Raises OSError."""
    if file.exists() and not file.is_file():
        file.write_bytes(content)
        return
    write_whole(file.resolve(), content)
