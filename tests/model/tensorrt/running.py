"""Commands in a process of their own, with the libraries that a test chooses."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

WINDOWS = "voices6"
"""A shipped model that hears windows, not streams."""
STEADY, LONGEST = 150, 350
"""Frames of its windows of 3 s and of 7 s."""
OF_A_PROCESSOR = "lightweight-emodb-int8"
SPEECH = Path(__file__).parents[3] / "edge" / "edgeser" / "bench" / "speech.flac"

PREDICT = ("predict", "--model", WINDOWS)
BUILD = ("engine", "build", WINDOWS, "--batch", "1..3")
Run: TypeAlias = "Callable[..., subprocess.CompletedProcess[str]]"
"""Runs such a command."""

FAKE = Path(__file__).parent / "fake"
"""Fake packages ``tensorrt`` and ``cuda``: see ``fake/tensorrt``."""


def environment(
    *, path: tuple[Path, ...], libraries: tuple[Path, ...], **more: str
) -> dict[str, str]:
    """The environment of a process with these packages first, and only these shared libraries."""
    packages = [*map(str, path), *os.environ.get("PYTHONPATH", "").split(os.pathsep)]
    return {
        **os.environ,
        **more,
        "PYTHONPATH": os.pathsep.join(filter(None, packages)),
        "LD_LIBRARY_PATH": os.pathsep.join(map(str, libraries)),
    }


def python(
    *words: object, path: tuple[Path, ...] = (), libraries: tuple[Path, ...] = (), **more: str
) -> subprocess.CompletedProcess[str]:
    """Run the interpreter; ``path``: packages in front, ``libraries``: shared ones."""
    there = environment(path=path, libraries=libraries, **more)
    return subprocess.run(
        [sys.executable, *map(str, words)], capture_output=True, text=True, env=there
    )


def edgeser(
    *words: object, path: tuple[Path, ...] = (), libraries: tuple[Path, ...] = (), **more: str
) -> subprocess.CompletedProcess[str]:
    """Run the command line."""
    return python("-m", "edgeser", *words, path=path, libraries=libraries, **more)


def engine_file(cache: Path) -> Path:
    """The only engine of a cache."""
    (file,) = (cache / "edgeser" / "engines").glob("*.engine")
    return file
