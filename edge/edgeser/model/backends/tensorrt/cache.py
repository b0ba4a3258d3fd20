"""The cache of engines: files that say what they are for, written whole or not at all.

An engine is found by the artefact it was built from and the platform it was built on. A file is a
line of JSON (``Engine``), followed by TensorRT's plan. Loading a plan executes code in it, so a
folder or file that others may write to is not used.
"""

from __future__ import annotations

import hashlib
import os
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

import msgspec

from edgeser.events.schema import ModelRef
from edgeser.model.artefact import Precision
from edgeser.model.backends.tensorrt.errors import EngineError
from edgeser.model.backends.tensorrt.platform import Platform
from edgeser.model.backends.tensorrt.shapes import Shapes
from edgeser.paths import engine_folders
from edgeser.whole_file import write_whole

SUFFIX = ".engine"
TIMINGS = ".timings"
_LONGEST_HEADER = 65_536


class Engine(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="edgeser-engine-1"):
    """What an engine is for: artefact, platform, shapes. ``plan_*``: to verify the plan."""

    model: ModelRef
    artefact: str
    """Where the artefact's file was."""
    precision: Precision
    platform: Platform
    shapes: Shapes
    built: str
    plan_bytes: int
    plan_sha256: str

    @property
    def file_name(self) -> str:
        """Unique for each artefact, platform and precision."""
        key = "\n".join((self.model.sha256, *msgspec.structs.astuple(self.platform)))
        digest = hashlib.sha256(f"{key}\n{self.precision}".encode()).hexdigest()
        name = "".join(c if c.isalnum() or c in "-_." else "_" for c in self.model.name)
        return f"{name}-{self.precision}-{digest[:16]}{SUFFIX}"


def engine_of(
    plan: bytes,
    *,
    model: ModelRef,
    artefact: Path,
    precision: Precision,
    platform: Platform,
    shapes: Shapes,
    built: str,
) -> Engine:
    """The description of a plan that was just built."""
    digest = hashlib.sha256(plan).hexdigest()
    path = str(artefact.resolve())
    return Engine(model, path, precision, platform, shapes, built, len(plan), digest)


def save(engine: Engine, plan: bytes, folder: Path) -> Path:
    """Put an engine into the folder, in place of one with the same key. Raises EngineError."""
    path = folder / engine.file_name
    write(path, msgspec.json.encode(engine) + b"\n" + plan)
    return path


def ready(folder: Path) -> None:
    """Make the cache's folder. Raises EngineError if engines cannot be written or loaded there."""
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o755)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        raise _unwritable(folder, error) from error
    trust(folder)


def write(path: Path, content: bytes) -> None:
    """Write a file of the cache, whole or not at all. Raises EngineError."""
    try:
        write_whole(path, content, 0o644)  # the service's account reads what root has built
    except OSError as error:
        raise _unwritable(path, error) from error


def read_header(path: Path) -> Engine:
    """The file's description of itself. Raises EngineError if it is no engine or cut off."""
    try:
        with path.open("rb") as file:
            line = file.readline(_LONGEST_HEADER)
            size = os.fstat(file.fileno()).st_size - len(line)
        engine = msgspec.json.decode(line, type=Engine)
    except OSError as error:
        raise EngineError(f"engine {path}: cannot be read: {error.strerror}") from error
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise EngineError(
            f"engine {path}: not an engine of this edgeser", "remove it with 'edgeser engine clear'"
        ) from error
    if size != engine.plan_bytes:
        raise EngineError(
            f"engine {path}: truncated: {size} of {engine.plan_bytes} bytes",
            "build it again with 'edgeser engine build'",
        )
    return engine


def read_plan(path: Path) -> tuple[Engine, bytes]:
    """An engine and its plan, both checked. Raises EngineError."""
    trust(path.parent)
    trust(path)
    engine = read_header(path)
    try:
        plan = path.read_bytes()[-engine.plan_bytes :]
    except OSError as error:
        raise EngineError(f"engine {path}: cannot be read: {error.strerror}") from error
    if hashlib.sha256(plan).hexdigest() != engine.plan_sha256:
        raise EngineError(
            f"engine {path}: damaged: its content is not what was built",
            "build it again with 'edgeser engine build'",
        )
    return engine, plan


def find(model: ModelRef, precision: Precision, platform: Platform) -> tuple[Path, Engine]:
    """The engine of an artefact for a platform.

    Raises EngineError if there is none, and names one for another platform or version if any.
    """
    others: list[str] = []
    for path in files():
        try:
            engine = read_header(path)
        except EngineError as error:
            if path.name.startswith(f"{model.name}-"):
                others.append(error.what)
            continue
        if engine.model.sha256 == model.sha256 and engine.precision == precision:
            if engine.platform == platform:
                return path, engine
            others.append(f"there is one for {engine.platform}")
        elif engine.model.name == model.name:
            others.append(f"there is one of another {engine.model.name} {engine.model.version}")
    what = f", but {others[0]}" if others else ""
    raise EngineError(
        f"no engine of {model.name} for {platform}{what}",
        "build one with 'edgeser engine build' (docs/tensorrt.md)",
    )


def files(suffix: str = SUFFIX) -> Iterator[Path]:
    """Every file in the cache, the user's own first."""
    for folder in engine_folders():
        if folder.is_dir() and os.access(folder, os.R_OK | os.X_OK):
            yield from sorted(folder.glob(f"*{suffix}"))


def timings_file(folder: Path, platform: Platform) -> Path:
    """Where the timings of builds on a platform are kept."""
    key = "\n".join(msgspec.structs.astuple(platform))
    return folder / f"{hashlib.sha256(key.encode()).hexdigest()[:16]}{TIMINGS}"


def trust(path: Path) -> None:
    """Raises EngineError if others than root and this user could have written it."""
    try:
        facts = path.stat()
    except OSError as error:
        raise EngineError(f"engine {path}: cannot be read: {error.strerror}") from error
    strangers = facts.st_uid not in (0, os.geteuid())
    if strangers or facts.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        whose = "belongs to another user" if strangers else "may be written by others"
        raise EngineError(f"engine cache {path}: {whose}", "chown and chmod go-w it")


def _unwritable(path: Path, error: OSError) -> EngineError:
    return EngineError(
        f"{path}: cannot be written: {error.strerror}", "set XDG_CACHE_HOME to a folder of yours"
    )
