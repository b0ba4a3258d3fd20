"""What the sources say of a release: version, date, and what the installed program can do."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parent.parent
REQUIREMENTS = CHECKOUT / "release" / "requirements.txt"
"""What the service needs, each file by its hash (``make requirements``)."""

EXTRAS = ("mqtt", "nats", "page")
"""What the packages bring of edgeser's extras: what needs no compiler and is small."""


def version() -> str:
    """The one place of the version: ``edgeser.__version__``, read without importing it."""
    text = (CHECKOUT / "edge/edgeser/__init__.py").read_text()
    found = re.search(r'^__version__ = "(.+)"$', text, re.MULTILINE)
    assert found is not None
    return found[1]


def epoch() -> int:
    """The time that everything built carries: SOURCE_DATE_EPOCH, or that of the last commit.

    An unpacked sdist has no commits; its files carry that time. Raises ``CalledProcessError``.
    """
    if given := os.environ.get("SOURCE_DATE_EPOCH"):
        return int(given)
    described = CHECKOUT / "PKG-INFO"
    if described.exists():
        return int(described.stat().st_mtime)
    command = ["git", "-C", str(CHECKOUT), "log", "-1", "--format=%ct"]
    return int(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)


def environment() -> dict[str, str]:
    """Variables with which a build gives the same bytes again."""
    return {**os.environ, "SOURCE_DATE_EPOCH": str(epoch()), "LC_ALL": "C.UTF-8", "TZ": "UTC"}
