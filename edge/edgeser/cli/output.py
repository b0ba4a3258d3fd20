"""Copes with standard output that is closed, full, or a pipe whose reader has ended."""

from __future__ import annotations

import codecs
import io
import os
import select
import sys
from typing import TYPE_CHECKING

from edgeser.errors import UserError

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

STDOUT, STDERR = 1, 2


class ReaderGone(SystemExit):
    """The reader of standard output has closed it; further output goes nowhere."""


class _Output(io.FileIO):
    """Standard output, whose failure becomes a UserError that names it."""

    def write(self, data: ReadableBuffer, /) -> int:
        try:
            return super().write(data)
        except BrokenPipeError:
            _discard()
            raise ReaderGone(0) from None
        except OSError as error:
            _discard()
            raise UserError(
                f"standard output: cannot be written: {error.strerror}",
                "redirect it to a file with space, a pipe or a terminal",
            ) from None


def guard() -> None:
    """Make failures of standard output one-line errors.

    A closed descriptor 1 or 2 is opened on /dev/null, else the next file opened would get its
    number, and the output. 1 is read-only, so that writing still fails as on a closed one.
    """
    _take_up(STDOUT, os.O_RDONLY)
    _take_up(STDERR, os.O_WRONLY)
    if sys.stderr is None:
        sys.stderr = open(STDERR, "w", closefd=False)  # noqa: SIM115
    old = sys.stdout
    if old is not None:
        old.flush()
    encoding = getattr(old, "encoding", None) or "utf-8"
    unicode = codecs.lookup(encoding).name.startswith("utf")
    errors = getattr(old, "errors", None) if unicode else "replace"
    sys.stdout = io.TextIOWrapper(
        io.BufferedWriter(_Output(STDOUT, "w", closefd=False)),
        encoding,
        errors or "surrogateescape",
        line_buffering=os.isatty(STDOUT),
    )


def end_without_reader() -> None:
    """Raises ReaderGone if standard output is a pipe or a socket whose reader has ended."""
    output = select.poll()
    output.register(STDOUT, 0)  # errors are reported in any case
    if output.poll(0):
        raise ReaderGone(0)


def _take_up(descriptor: int, mode: int) -> None:
    try:
        os.fstat(descriptor)
    except OSError:
        taken = os.open(os.devnull, mode)
        if taken != descriptor:  # a lower number is closed, too
            os.dup2(taken, descriptor)
            os.close(taken)


def _discard() -> None:
    """Send what is left in buffers to /dev/null, so that it does not fail again at exit."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, STDOUT)
    os.close(nowhere)
