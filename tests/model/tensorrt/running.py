"""Commands in a process of their own, with the libraries that a test chooses."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

WINDOWS = "voices6"
"""A shipped network of windows."""

FAKE = Path(__file__).parent / "fake"
"""Packages ``tensorrt`` and ``cuda`` that are no NVIDIA code: see ``fake/tensorrt``."""


def python(
    *words: object, path: tuple[Path, ...] = (), libraries: tuple[Path, ...] = (), **more: str
) -> subprocess.CompletedProcess[str]:
    """Run the interpreter; ``path``: packages in front, ``libraries``: shared ones."""
    environment = {**os.environ, **more}
    environment["PYTHONPATH"] = os.pathsep.join(map(str, path))
    environment["LD_LIBRARY_PATH"] = os.pathsep.join(map(str, libraries))
    return subprocess.run(
        [sys.executable, *map(str, words)], capture_output=True, text=True, env=environment
    )


def edgeser(
    *words: object, path: tuple[Path, ...] = (), libraries: tuple[Path, ...] = (), **more: str
) -> subprocess.CompletedProcess[str]:
    """Run the command line."""
    return python("-m", "edgeser", *words, path=path, libraries=libraries, **more)
