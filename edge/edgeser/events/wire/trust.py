"""Which users could have put a socket where it is: only root and we ourselves are trusted."""

from __future__ import annotations

import grp
import os
import stat
from pathlib import Path

from edgeser.errors import UserError
from edgeser.events.wire.endpoint import Endpoint, IpcEndpoint

_MAX_LINKS = 40


def trap_in(path: Path) -> Path | None:
    """A component of ``path`` that another user made in a world-writable folder such as /tmp.

    Symbolic links are followed, and checked themselves. None if there is no such component.
    """
    here, names, links = Path("/"), list(path.absolute().parts[1:]), 0
    while names:
        step = here / names.pop(0)
        try:
            found = step.lstat()
            open_to_all = bool(here.stat().st_mode & stat.S_IWOTH)
            if open_to_all and found.st_uid not in (0, os.geteuid()):
                return step
            if stat.S_ISLNK(found.st_mode):
                links += 1
                if links > _MAX_LINKS:
                    return step
                target = Path(os.readlink(step))
                names = [*target.parts[target.is_absolute() :], *names]
                here = Path("/") if target.is_absolute() else here
            else:
                here = here.parent if step.name == ".." else step
        except OSError:  # missing, or not searchable, and so not openable either
            return None
    return None


def check_trusted(endpoint: IpcEndpoint) -> None:
    """Raises UserError where another user could have put the socket there."""
    if (trap := trap_in(endpoint.path)) is not None:
        raise UserError(
            f"endpoint '{endpoint}': {trap} belongs to another user, who could pretend to be the "
            "daemon or listen in",
            "use a folder of your own",
        )


def check_permission(endpoint: Endpoint) -> None:
    """Raises UserError if we may not connect: libzmq would silently try for ever."""
    if not isinstance(endpoint, IpcEndpoint):
        return
    check_trusted(endpoint)
    path = endpoint.path.absolute()
    for folder in reversed(path.parents):
        if folder.is_dir() and not os.access(folder, os.X_OK, effective_ids=True):
            raise _denied(endpoint, folder, stat.S_IXGRP)
    if path.exists() and not os.access(path, os.W_OK, effective_ids=True):
        raise _denied(endpoint, path, stat.S_IWGRP)


def _denied(endpoint: Endpoint, path: Path, needed: int) -> UserError:
    """``needed``: the bit of the mode that would let the group in."""
    found = path.stat()
    if not found.st_mode & needed:
        return UserError(
            f"endpoint '{endpoint}': permission denied, {path} is its owner's alone",
            "listen as that user",
        )
    try:
        group = grp.getgrgid(found.st_gid).gr_name
    except KeyError:
        group = str(found.st_gid)
    return UserError(
        f"endpoint '{endpoint}': permission denied",
        f"join the group '{group}', which owns {path}: sudo usermod -aG {group} $USER, "
        "then log in again",
    )
