"""A file that is whole at every moment: what is new is written beside it, then takes its place."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

ASIDE = ".????????.new"
"""What is written beside a file; one that lies there for long was left by a killed process."""


@contextmanager
def whole_file(path: Path, mode: int | None = None) -> Iterator[IO[bytes]]:
    """Open what takes the place of ``path`` at the end; a power cut leaves the old or the new one.

    ``mode``: by default that of the file which was there, or what the umask leaves. Its owner stays
    if root writes. A link is replaced, not followed. When anything is raised, what was there stays,
    and nothing is left beside it. Raises OSError.
    """
    before = path.stat() if path.is_file() and not path.is_symlink() else None
    aside = path.with_name(f".{secrets.token_hex(4)}.new")
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    if mode is None and before is not None:
        mode = before.st_mode & 0o7777
    handle = os.open(aside, flags, 0o666 if mode is None else 0o600)
    try:
        with open(handle, "w+b") as file:
            if before is not None and os.geteuid() == 0:
                os.fchown(handle, before.st_uid, before.st_gid)
            if mode is not None:
                os.fchmod(handle, mode)
            yield file
            file.flush()
            os.fsync(handle)
        aside.replace(path)
    except BaseException:
        aside.unlink(missing_ok=True)
        raise


def write_whole(path: Path, content: bytes | memoryview, mode: int | None = None) -> None:
    """Write a file by ``whole_file``. Raises OSError."""
    with whole_file(path, mode) as file:
        file.write(content)
