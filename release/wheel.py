"""Builds the wheel and the sdist of this checkout, the same bytes every time."""

from __future__ import annotations

import argparse
import hashlib
import subprocess
import sys
from pathlib import Path

from release.command import run
from release.source import CHECKOUT, environment, version


def build_wheel(output: Path, sdist: bool = False) -> Path:
    """Build the wheel, with the page's front end, and with ``sdist`` the sdist beside it.

    Raises ``CalledProcessError``.
    """
    targets = ["--target", "wheel", *(["--target", "sdist"] if sdist else [])]
    command = [
        sys.executable,
        "-m",
        "hatchling",
        "build",
        *targets,
        "--directory",
        str(output.absolute()),
    ]
    variables = {**environment(), "EDGESER_REQUIRE_PAGE": "1"}
    subprocess.run(command, check=True, cwd=CHECKOUT, env=variables, stdout=subprocess.DEVNULL)
    return output.absolute() / f"edgeser-{version()}-py3-none-any.whl"


def pinned(wheel: Path) -> str:
    """The line of a requirements file that accepts only this wheel."""
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    return f"edgeser=={version()} --hash=sha256:{digest}"


def main() -> None:
    """Build both where the command line says."""
    parser = argparse.ArgumentParser(prog="python -m release.wheel", description=__doc__)
    parser.add_argument("-o", "--output", type=Path, default=CHECKOUT / "dist")
    asked = parser.parse_args()
    print(build_wheel(asked.output, sdist=True))


if __name__ == "__main__":
    run(main)
