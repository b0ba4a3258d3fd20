"""What the benchmarks' commands share: their options."""

from __future__ import annotations

import errno
import os
import shlex
import sys
import tempfile
from pathlib import Path

import click

from edgeser.cli.bench.outcome import unwritable
from edgeser.cli.options import PATH, Command
from edgeser.paths import as_utf8


def speech_option(command: Command) -> Command:
    """``--speech FILE``."""
    return click.option(
        "--speech",
        type=PATH,
        metavar="FILE",
        help="Speech to play in a loop.  [default: a synthetic voice]",
    )(command)


def report_option(command: Command) -> Command:
    """``--json FILE``."""
    return click.option(
        "--json",
        "json_file",
        type=PATH,
        callback=written_later,
        metavar="FILE",
        help="Save the report.",
    )(command)


def this_command() -> str:
    """The command as it was typed, for the report."""
    return as_utf8(shlex.join(["edgeser", *sys.argv[1:]]))


def written_later(_: click.Context, __: click.Parameter, file: Path | None) -> Path | None:
    """Callback of options whose file is written at the end of long work.

    Raises UserError at once if it cannot be written, and leaves nothing behind.
    """
    if file is None:
        return None
    try:
        if file.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        if file.exists() and not os.access(file, os.W_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        if file.is_file() or not file.exists():
            with tempfile.TemporaryFile(dir=file.resolve().parent):
                pass
    except OSError as error:
        raise unwritable(file, error) from error
    return file
