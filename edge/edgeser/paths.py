"""Where edgeser finds its files and endpoints."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import NamedTuple

from edgeser.errors import UserError

SERVICE_SETTINGS = Path("/etc/edgeser/edgeser.toml")
"""Settings of the service edgeser; those of edgeser@NAME are NAME.toml beside it."""


class ServiceFolders(NamedTuple):
    """Where a service has its settings and keys, its sockets, and its lasting data."""

    config: Path
    runtime: Path
    state: Path


def service_folders(name: str) -> ServiceFolders:
    """The folders that systemd makes for edgeser@NAME; for edgeser where the name is empty."""
    return ServiceFolders(
        SERVICE_SETTINGS.parent, Path("/run/edgeser") / name, Path("/var/lib/edgeser") / name
    )


def service_name(settings_file: Path) -> str | None:
    """NAME of the service edgeser@NAME whose settings these are; empty for edgeser, else None."""
    file = Path(os.path.abspath(settings_file))
    if file.parent != SERVICE_SETTINGS.parent or file.suffix != SERVICE_SETTINGS.suffix:
        return None
    return "" if file == SERVICE_SETTINGS else file.stem


def expanded(path: str, key: str = "") -> Path:
    """A path whose ``~`` or ``~name`` is a home folder. ``key``: the setting that holds it.

    Raises UserError if there is no such home, or for text that cannot be a path.
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
    """The path with bytes that are not UTF-8 as escapes, for JSON and tables."""
    return path.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def runtime_folder() -> Path:
    """Folder of sockets and locks: /run/edgeser under systemd, else the user's runtime folder."""
    if folder := os.environ.get("RUNTIME_DIRECTORY"):
        return Path(folder.split(":")[0])
    if folder := os.environ.get("XDG_RUNTIME_DIR"):
        return Path(folder) / "edgeser"
    return Path(tempfile.gettempdir()) / f"edgeser-{os.getuid()}"


def state_folder() -> Path:
    """Folder of lasting data: the service's under systemd, else the user's."""
    if folder := os.environ.get("STATE_DIRECTORY"):
        return Path(folder.split(":")[0])
    if folder := os.environ.get("XDG_STATE_HOME"):
        return Path(folder) / "edgeser"
    return expanded("~/.local/state/edgeser")


def default_journal(state: Path | None = None) -> Path:
    """The file of the journal in a state folder, by default ours."""
    return (state or state_folder()) / "journal.db"


def default_baselines(state: Path | None = None) -> Path:
    """The folder of the baselines in a state folder, by default ours."""
    return (state or state_folder()) / "baselines"


def config_folder() -> Path:
    """Folder of settings and keys: the service's under systemd, else the user's."""
    if folder := os.environ.get("CONFIGURATION_DIRECTORY"):
        return Path(folder.split(":")[0])
    if folder := os.environ.get("XDG_CONFIG_HOME"):
        return Path(folder) / "edgeser"
    return expanded("~/.config/edgeser")


def default_keys(config: Path | None = None) -> Path:
    """The folder of the keys in a folder of settings, by default ours."""
    return (config or config_folder()) / "keys"


def engine_folders() -> list[Path]:
    """Folders of TensorRT engines: the user's own, and the one that the whole machine shares.

    Root, unless it has a cache of its own, has only the latter: the service finds there what root
    has built.
    """
    shared = Path("/var/cache/edgeser/engines")
    if folder := os.environ.get("XDG_CACHE_HOME"):
        return [Path(folder) / "edgeser" / "engines", shared]
    return [shared] if os.geteuid() == 0 else [expanded("~/.cache/edgeser/engines"), shared]


def default_endpoint(runtime: Path | None = None) -> str:
    """The endpoint in a runtime folder, by default ours, at which the daemon publishes and a
    listener looks first."""
    return f"ipc://{(runtime or runtime_folder()) / 'events.sock'}"
