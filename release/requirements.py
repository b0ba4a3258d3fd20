"""Makes ``release/requirements.txt``: what the service needs, each file by its hash.

python -m release.requirements

The versions are those of constraints.txt, for every supported Python at once. Installing from it
accepts only files with known hashes: a package that was changed since is refused.
"""

from __future__ import annotations

import subprocess
import sys

from release.command import run
from release.source import CHECKOUT, EXTRAS, REQUIREMENTS

_HEADING = """\
# What the service needs, for every supported Python and architecture, each file by its hash.
# Made by `make requirements` from pyproject.toml and constraints.txt; not edited by hand.
"""


def main() -> None:
    """Ask the package index for the hashes."""
    extras = [word for extra in EXTRAS for word in ("--extra", extra)]
    command = [
        *(sys.executable, "-m", "uv", "pip", "compile", "pyproject.toml", *extras, "--universal"),
        *("--python-version", "3.10", "--generate-hashes", "--constraint", "constraints.txt"),
        *("--no-header", "--no-annotate", "--quiet"),
    ]
    done = subprocess.run(command, cwd=CHECKOUT, check=True, stdout=subprocess.PIPE, text=True)
    REQUIREMENTS.write_text(_HEADING + done.stdout)


if __name__ == "__main__":
    run(main)
