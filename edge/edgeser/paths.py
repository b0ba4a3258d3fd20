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


def default_endpoint() -> str:
    """The endpoint at which the daemon publishes and a listener looks first."""
    return f"ipc://{runtime_folder() / 'events.sock'}"
