"""What a machine runs out of, told in a line."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import click

from edgeser.errors import UserError

_OUT = "out of memory"
_NO_MEMORY = (_OUT, "can't allocate memory", "not enough memory", "start new thread")
"""What torch and Python say in a RuntimeError when there is no memory."""


def shortage(error: BaseException) -> str | None:
    """What the machine lacked, in one line; None for an error that is not the machine's."""
    words = " ".join(str(error).split())[:300]
    if isinstance(error, MemoryError):
        return f"{_OUT}{f' ({words})' if words else ''}"
    if isinstance(error, RuntimeError) and any(sign in words for sign in _NO_MEMORY):
        return f"{_OUT} ({words})"
    if isinstance(error, OSError):
        named = error.filename is not None and error.strerror is not None
        return f"{error.filename}: {error.strerror}" if named else words
    return None


@contextmanager
def failures_told() -> Iterator[None]:
    """Of a command that trains: raises UserError for what the machine lacks; Ctrl-C is a line."""
    try:
        yield
    except UserError:
        raise
    except KeyboardInterrupt:
        click.echo("edgeser: stopped; the same command goes on where it was", err=True)
        raise SystemExit(130) from None
    except Exception as error:
        lacking = shortage(error)
        if lacking is None:
            raise
        mend = "lower --jobs or the batch" if lacking.startswith(_OUT) else "mend that"
        raise UserError(f"{lacking}; {mend}, and the same command goes on") from error
