"""What the benchmarks' commands share: options, and saving a report."""

from __future__ import annotations

import errno
import os
import tempfile
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
        "--json",
        "json_file",
        type=FilePath,
        callback=written_later,
        metavar="FILE",
        help="Save the report.",
    )(command)


def written_later(_: click.Context, __: click.Parameter, file: Path | None) -> Path | None:
    """For options with a file that is written at the end of long work, which ``save`` does.

    Raises UserError now where it cannot be written, and leaves nothing behind.
    """
    if file is None:
        return None
    try:
        if not file.exists():
            with tempfile.TemporaryFile(dir=file.parent):
                pass
        elif file.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        elif not os.access(file, os.W_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    except OSError as error:
        raise _unwritable(file, error) from error
    return file


def save_report(file: Path, report: msgspec.Struct) -> None:
    """Write a report as JSON. Raises UserError."""
    import msgspec

    save(file, msgspec.json.format(msgspec.json.encode(report), indent=1))


def save(file: Path, content: bytes) -> None:
    """Write a file. Raises UserError."""
    try:
        file.write_bytes(content)
    except OSError as error:
        raise _unwritable(file, error) from error


def _unwritable(file: Path, error: OSError) -> UserError:
    return UserError(f"{file}: cannot be written: {error.strerror}", "name another file")
