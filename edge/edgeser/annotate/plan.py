"""The work, cut into shards that do not depend on which worker does them."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import msgspec

from edgeser.annotate.files import Recordings
from edgeser.errors import UserError
from edgeser.events.schema import ModelRef
from edgeser.settings.schema import DecisionSettings, SpeechSettings
from edgeser.whole_file import write_whole


class Shard(NamedTuple):
    """Some of the recordings; their rows go into one file of each table.

    ``archive``: the common folder of all recordings of the plan, relative to ``root``. ``voices``:
    whose voice is in a file, by its path, if known.
    """

    number: int
    root: str
    paths: list[str]
    archive: str = ""
    voices: Mapping[str, str] | None = None

    @property
    def file_name(self) -> str:
        """Name of its part of a table."""
        return f"part-{self.number:05d}.parquet"


class Plan(msgspec.Struct, frozen=True):
    """What the tables in a folder are made from; another plan needs another folder.

    ``voices``: the argument of ``find``. ``labels`` and ``learn``: see ``ModelSettings`` and
    ``BaselineSettings``. ``v``: version of the tables' columns.
    """

    files: int
    files_sha256: str
    shard: int
    model: ModelRef
    backend: str
    speech: SpeechSettings
    decision: DecisionSettings
    voices: str | None = None
    labels: list[str] = []
    learn: bool = True
    v: int = 3


_OTHERWISE = {
    "files_sha256": "other files or voices",
    "voices": "other --voices",
    "shard": "another --shard",
    "model": "another model",
    "backend": "another backend",
    "speech": "other [speech] settings",
    "decision": "other [decision] settings",
    "labels": "other model.labels",
    "learn": "another baseline.learn",
}
"""Words for a field that differs from the folder's plan."""


def shards(recordings: Recordings, size: int) -> list[Shard]:
    """The recordings in shards of ``size`` files.

    All files of a voice are in the shard of its first one, which may exceed ``size``.
    """
    root, archive = str(recordings.root), _common_folder(recordings.paths)
    by_voice: dict[tuple[str, bool], list[str]] = {}
    for path in recordings.paths:
        voice = recordings.voices.get(path)
        by_voice.setdefault((path, False) if voice is None else (voice, True), []).append(path)
    parts: list[list[str]] = []
    for paths in by_voice.values():
        if not parts or len(parts[-1]) + len(paths) > size:
            parts.append([])
        parts[-1] += paths
    return [
        Shard(n, root, paths, archive, {p: v for p in paths if (v := recordings.voices.get(p))})
        for n, paths in enumerate(parts)
    ]


def _common_folder(paths: list[str]) -> str:
    """Empty if there is none, as for absolute and relative paths together."""
    try:
        return os.path.commonpath([os.path.dirname(path) for path in paths])
    except ValueError:
        return ""


def files_sha256(recordings: Recordings) -> str:
    """Identifies the list of files: their paths, order and voices, but not their content."""
    digest = hashlib.sha256()
    for path in recordings.paths:
        for text in (path, recordings.voices.get(path, "")):
            digest.update(text.encode("utf-8", "surrogateescape") + b"\0")
    return digest.hexdigest()


def settle(plan: Plan, folder: Path) -> None:
    """Write the plan into a new folder, or check that the folder was begun with the same plan.

    Raises UserError if it was not, or the folder cannot be written to.
    """
    file = folder / "plan.json"
    try:
        for table in ("segments", "errors"):
            (folder / table).mkdir(parents=True, exist_ok=True)
        if not file.exists():
            write_whole(file, msgspec.json.format(msgspec.json.encode(plan)) + b"\n")
            return
        before = msgspec.json.decode(file.read_bytes(), type=Plan)
    except OSError as error:
        raise UserError(f"{folder}: {error.strerror}", "name another folder with -o") from error
    except msgspec.MsgspecError as error:
        raise UserError(f"{file}: {error}", "name another folder with -o") from error
    if before.v != plan.v:
        raise UserError(
            f"{folder}: was begun by an edgeser whose tables have other columns",
            "name another folder with -o",
        )
    changed = [
        told for field, told in _OTHERWISE.items() if getattr(before, field) != getattr(plan, field)
    ]
    if changed:
        raise UserError(
            f"{folder}: was begun with {', '.join(changed)}",
            "name another folder with -o, or what it was begun with",
        )
