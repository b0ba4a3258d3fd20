"""An archive that is away from the machine which is to read it, told from a file that is bad."""

from __future__ import annotations

import os
import socket
from pathlib import Path

from edgeser.annotate.plan import Shard
from edgeser.errors import UserError


class ArchiveError(UserError):
    """This machine does not see the recordings: no fault of theirs."""

    exit_code = 1


def demand_archive(shard: Shard, path: str) -> None:
    """See that a file of a shard failed alone.

    Raises ArchiveError where nothing of the shard can be read and nothing is in the file's folder:
    it was moved away, or is not mounted.
    """
    file = Path(shard.root) / path
    if (
        _can_be_read(file)
        or _holds_something(file.parent)
        or any(_can_be_read(Path(shard.root) / other) for other in shard.paths)
    ):
        return
    raise ArchiveError(
        f"{socket.gethostname()} does not see the recordings",
        f"nothing can be read in {file.parent}: see that it is mounted there; the same command "
        "goes on from here",
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


def _holds_something(folder: Path) -> bool:
    try:
        with os.scandir(folder) as entries:
            return any(entries)
    except (OSError, ValueError):
        return False
