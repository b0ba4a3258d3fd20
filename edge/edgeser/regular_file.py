"""Checks that a file named by the user is regular: a pipe may never answer, a device never end."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

NOT_REGULAR = errno.EINVAL
"""``errno`` of the OSError for a file that is not regular."""

_OF_THE_SHELL = (Path("/dev/stdin"), Path("/dev/fd"))


def regular_or_shells(path: Path) -> Path:
    """The path of a text that is read once, which may also be a pipe that the shell has opened: it
    ends with its command (``<(command)``, ``/dev/stdin``).

    Raises OSError as ``regular`` does.
    """
    shells = path in _OF_THE_SHELL or path.parent in _OF_THE_SHELL
    return path if shells and path.is_fifo() else regular(path)


def regular(path: Path) -> Path:
    """The path, which can be opened without waiting and be read to its end.

    Raises OSError where there is no such file, and for a folder, a pipe, a socket and a device.
    """
    mode = path.stat().st_mode
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    if not stat.S_ISREG(mode):
        raise OSError(NOT_REGULAR, "it is no regular file", str(path))
    return path
