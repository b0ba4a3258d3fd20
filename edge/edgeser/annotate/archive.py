"""Distinguishes an archive that this machine cannot reach from a file that is bad."""

from __future__ import annotations

import os
import socket
from pathlib import Path

from edgeser.annotate.plan import Shard
from edgeser.errors import UserError


class ArchiveError(UserError):
    """This machine cannot reach the recordings, which may be intact."""

    exit_code = 1


def check_archive(shard: Shard) -> None:
    """After a failure, check that it is only of single files or folders, not of the archive.

    Raises ArchiveError if no file of the shard and none in the archive can be read: it was moved
    away, or is not mounted.
    """
    root = Path(shard.root)
    archive = root / shard.archive
    if any(_can_be_read(root / path) for path in shard.paths) or _holds_a_file(archive):
        return
    raise ArchiveError(
        f"{socket.gethostname()} does not see the recordings",
        f"nothing can be read in {archive}: see that it is mounted there; the same command "
        "continues from here",
    )


def _can_be_read(file: Path) -> bool:
    try:
        fd = os.open(file, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except (OSError, ValueError):
        return False
    try:
        os.read(fd, 1)
    except OSError:
        return False
    finally:
        os.close(fd)
    return True


def _holds_a_file(folder: Path) -> bool:
    """Whether there is a readable file in the folder or below."""
    try:
        with os.scandir(folder) as entries:
            return any(
                _holds_a_file(Path(entry))
                if entry.is_dir(follow_symlinks=False)
                else entry.is_file() and _can_be_read(Path(entry))
                for entry in entries
            )
    except (OSError, ValueError):
        return False
