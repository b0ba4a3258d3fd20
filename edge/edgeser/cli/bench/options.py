"""What the benchmarks' commands share: options, and saving a report."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import click

from edgeser.errors import UserError

if TYPE_CHECKING:
    import msgspec

Command = TypeVar("Command", bound=Callable[..., object])
FilePath = click.Path(path_type=Path)


def speech_option(command: Command) -> Command:
    """``--speech FILE``."""
    return click.option(
        "--speech",
        type=FilePath,
        metavar="FILE",
        help="Speech to play, again and again.  [default: a synthetic voice]",
    )(command)


def report_option(command: Command) -> Command:
    """``--json FILE``."""
    return click.option(
        "--json", "json_file", type=FilePath, metavar="FILE", help="Save the report."
    )(command)


def save_report(file: Path, report: msgspec.Struct) -> None:
    """Write a report as JSON. Raises UserError."""
    import msgspec

    save(file, msgspec.json.format(msgspec.json.encode(report), indent=1))


def save(file: Path, content: bytes) -> None:
    """Write a file. Raises UserError."""
    try:
        file.write_bytes(content)
    except OSError as error:
        raise UserError(f"{file}: cannot be written: {error.strerror}") from error
