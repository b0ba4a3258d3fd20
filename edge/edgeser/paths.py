"""Where edgeser finds its files and endpoints."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path


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
    return Path("~/.local/state/edgeser").expanduser()


def default_journal() -> Path:
    """The file of the journal."""
    return state_folder() / "journal.db"


def config_folder() -> Path:
    """Folder of settings and keys: the service's under systemd, else the user's."""
    if folder := os.environ.get("CONFIGURATION_DIRECTORY"):
        return Path(folder.split(":")[0])
    if folder := os.environ.get("XDG_CONFIG_HOME"):
        return Path(folder) / "edgeser"
    return Path("~/.config/edgeser").expanduser()


def default_endpoint() -> str:
    """The endpoint at which the daemon publishes and a listener looks first."""
    return f"ipc://{runtime_folder() / 'events.sock'}"
