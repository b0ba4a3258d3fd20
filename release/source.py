"""What the sources determine of a release: version, date, and the extras it includes."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parent.parent
REQUIREMENTS = CHECKOUT / "release" / "requirements.txt"
"""What the service needs, each file by its hash (``make requirements``)."""

EXTRAS = ("mqtt", "nats", "page")
"""The extras of edgeser that the packages include: those that are small and need no compiler."""


def version() -> str:
    """The one place of the version: ``edgeser.__version__``, read without importing it."""
    text = (CHECKOUT / "edge/edgeser/__init__.py").read_text()
    found = re.search(r'^__version__ = "(.+)"$', text, re.MULTILINE)
    assert found is not None
    return found[1]


def epoch() -> int:
    """The time stamp of everything built: SOURCE_DATE_EPOCH, or that of the last commit.

    An unpacked sdist has no commits; its files have that time. Raises ``CalledProcessError``.
    """
    if given := os.environ.get("SOURCE_DATE_EPOCH"):
        return int(given)
    described = CHECKOUT / "PKG-INFO"
    if described.exists():
        return int(described.stat().st_mtime)
    command = ["git", "-C", str(CHECKOUT), "log", "-1", "--format=%ct"]
    return int(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)


def environment() -> dict[str, str]:
    """Environment variables that make builds reproducible."""
    return {**os.environ, "SOURCE_DATE_EPOCH": str(epoch()), "LC_ALL": "C.UTF-8", "TZ": "UTC"}
