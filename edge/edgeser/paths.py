"""Where edgeser finds its files and endpoints."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from edgeser.errors import UserError


def expanded(path: str, key: str = "") -> Path:
    """A path whose ``~`` or ``~name`` is a home folder. ``key``: the setting that holds it.

    Raises UserError where there is no such home, or for what can be no path.
    """
    where = f"{key}: {path}" if key else path
    if "\0" in path:
        raise UserError(f"{where}: a path holds no NUL", "leave it out")
    try:
        return Path(path).expanduser()
    except RuntimeError as error:
        raise UserError(
            f"{where}: there is no such home folder", "write the path from / on, or set HOME"
        ) from error


def as_utf8(path: str) -> str:
    """The path with each byte that is no UTF-8 as its escape, for JSON and tables."""
    return path.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def runtime_folder() -> Path:
    """Folder of sockets and locks: /run/edgeser under systemd, else the user's runtime folder."""
    if folder := os.environ.get("RUNTIME_DIRECTORY"):
        return Path(folder.split(":")[0])
    if folder := os.environ.get("XDG_RUNTIME_DIR"):
        return Path(folder) / "edgeser"
    return Path(tempfile.gettempdir()) / f"edgeser-{os.getuid()}"


def state_folder() -> Path:
    """Folder of what outlives the process: the service's under systemd, else the user's."""
    if folder := os.environ.get("STATE_DIRECTORY"):
        return Path(folder.split(":")[0])
    if folder := os.environ.get("XDG_STATE_HOME"):
        return Path(folder) / "edgeser"
    return expanded("~/.local/state/edgeser")


def default_journal() -> Path:
    """The file of the journal."""
    return state_folder() / "journal.db"


def config_folder() -> Path:
    """Folder of settings and keys: the service's under systemd, else the user's."""
    if folder := os.environ.get("CONFIGURATION_DIRECTORY"):
        return Path(folder.split(":")[0])
    if folder := os.environ.get("XDG_CONFIG_HOME"):
        return Path(folder) / "edgeser"
    return expanded("~/.config/edgeser")


def engine_folders() -> list[Path]:
    """Folders of TensorRT engines: the user's own, and the one that the whole machine shares.

    Root, unless it has a cache of its own, has only the latter: the service finds there what root
    has built.
    """
    shared = Path("/var/cache/edgeser/engines")
    if folder := os.environ.get("XDG_CACHE_HOME"):
        return [Path(folder) / "edgeser" / "engines", shared]
    return [shared] if os.geteuid() == 0 else [expanded("~/.cache/edgeser/engines"), shared]


def default_endpoint() -> str:
    """The endpoint at which the daemon publishes and a listener looks first."""
    return f"ipc://{runtime_folder() / 'events.sock'}"
