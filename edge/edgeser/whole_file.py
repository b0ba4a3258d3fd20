"""A file that is whole at every moment: what is new is written beside it, then takes its place."""

from __future__ import annotations

import hashlib
import os
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

ASIDE = ".*.new"
"""Names of temporary files, which are written beside the files."""

_LEFT_S = 600.0
"""A temporary file not written to for this long was left by a killed process."""


@contextmanager
def whole_file(path: Path, mode: int | None = None) -> Iterator[IO[bytes]]:
    """Open a file that replaces ``path`` at the end; a power cut leaves the old or the new one.

    ``mode``: by default the old file's, or what the umask leaves. Owner and group are kept where we
    have the right to. A link is replaced, not followed. When anything is raised, the old file
    stays, and no temporary one is left. Raises OSError, which names ``path``.
    """
    before = path.stat() if path.is_file() and not path.is_symlink() else None
    for left in left_beside(path):
        with suppress(FileNotFoundError):
            if time.time() - left.stat().st_mtime > _LEFT_S:
                left.unlink()
    aside = path.with_name(f".{_mark(path)}-{secrets.token_hex(4)}.new")
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    if mode is None and before is not None:
        mode = before.st_mode & 0o7777
    try:
        handle = os.open(aside, flags, 0o666 if mode is None else 0o600)
        try:
            with open(handle, "w+b") as file:
                if before is not None:
                    _give(handle, before)
                if mode is not None:
                    os.fchmod(handle, mode)
                yield file
                file.flush()
                os.fsync(handle)
            aside.replace(path)
        except BaseException:
            aside.unlink(missing_ok=True)
            raise
    except OSError as error:
        if error.filename != str(aside):
            raise
        # The name of the temporary file would tell a user nothing.
        raise OSError(error.errno, error.strerror, str(path)) from error


def write_whole(path: Path, content: bytes | memoryview, mode: int | None = None) -> None:
    """Write a file by ``whole_file``. Raises OSError."""
    with whole_file(path, mode) as file:
        file.write(content)


def left_beside(path: Path) -> list[Path]:
    """The temporary files beside a file, also those left by killed processes."""
    return list(path.parent.glob(f".{_mark(path)}-????????.new"))


def _mark(path: Path) -> str:
    """A short hash of a file's name, which may be long."""
    return hashlib.sha256(os.fsencode(path.name)).hexdigest()[:8]


def _give(handle: int, before: os.stat_result) -> None:
    for user, group in ((-1, before.st_gid), (before.st_uid, -1)):
        with suppress(PermissionError):
            os.fchown(handle, user, group)
