"""A lock, so that only one process at a time works on a part of a plan."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from edgeser.errors import UserError
from edgeser.events.wire.lock import FileLock, holder


@contextmanager
def only_one(folder: Path, part: str) -> Iterator[None]:
    """Hold the lock. Raises UserError if another process works on this part of this folder."""
    path = folder / f".part-{part}.lock"
    try:
        lock = FileLock(path)
    except BlockingIOError:
        raise UserError(
            f"{folder}: in use by {holder(path)}", "wait, or name another folder with -o"
        ) from None
    except OSError as error:
        raise UserError(f"{folder}: {error.strerror}", "name another folder with -o") from error
    try:
        yield
    finally:
        lock.release()
