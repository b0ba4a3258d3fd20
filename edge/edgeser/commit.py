"""Which commit of the code runs, if it runs from a checkout."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

_CODE = (":/edge/edgeser", ":/train", ":/export", ":!/edge/edgeser/models")


def commit() -> str:
    """The commit of the code, with a '+' when the code has changes; 'unknown' outside git.

    A repository counts only if it tracks this very file: an installed copy may lie in a virtual
    environment inside another repository. What ``make install-service`` installed has a file with
    the commit of its checkout instead.
    """
    try:
        _git("ls-files", "--error-unmatch", Path(__file__).name)
        name = _git("rev-parse", "--short=12", "HEAD")
        changes = _git("status", "--porcelain", "--", *_CODE)
    except (OSError, subprocess.CalledProcessError):
        return _installed()
    return name + ("+" if changes else "")


def _installed() -> str:
    """The commit that ``tools/service`` wrote down; 'unknown' if it did not."""
    try:
        return Path(sys.prefix, "share/edgeser/commit").read_text().strip() or "unknown"
    except OSError:
        return "unknown"


def _git(*words: str) -> str:
    """Git's output. Nothing is written, so that root leaves no files of its own."""
    run = subprocess.run(
        ["git", "--no-optional-locks", *words],
        cwd=Path(__file__).parent,
        capture_output=True,
        text=True,
        check=True,
    )
    return run.stdout.strip()


if __name__ == "__main__":
    print(commit())
