"""Makes a release in one command: everything built twice, the same bytes, tried, and described.

python -m release.build [--draft] [--suite bookworm] [-o dist]

Of the last commit, in a copy of it: wheel, sdist, a Debian package for each architecture, the
container's image (as root), an SBOM, the section of the changelog, and the SHA-256 of each. All is
made a second time in another folder; where the bytes differ there is no release. Nothing is
uploaded.

A release has a section of its own in CHANGELOG.md, and nothing under "Unreleased"; ``--draft``
takes what is there.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from release.command import run
from release.source import CHECKOUT, REQUIREMENTS, environment, epoch, version

PARTS = ("edge", "train", "export")
"""Folders of the packages, which are imported from the copy, never from the checkout itself."""


class ReleaseError(Exception):
    """There can be no release; the message says why, and what to do."""


def changes(text: str, number: str, draft: bool) -> str:
    """The section of the changelog for this version. Raises ``ReleaseError``."""
    sections = dict(part.split("\n", 1) for part in re.split(r"^## ", text, flags=re.MULTILINE)[1:])
    sections = {title.split()[0]: body.strip() for title, body in sections.items()}
    unreleased = sections.get("Unreleased", "")
    if draft and unreleased:
        return unreleased
    if unreleased:
        raise ReleaseError(
            "CHANGELOG.md: there are changes under 'Unreleased'; give them a section of their "
            "version, edgeser.__version__ the same, or make a draft: DRAFT=1"
        )
    if not sections.get(number):
        raise ReleaseError(f"CHANGELOG.md: has no section '## {number}'")
    return sections[number]


def check_clean() -> None:
    """Raises ``ReleaseError`` where something is not committed."""
    command = ["git", "-C", str(CHECKOUT), "status", "--porcelain"]
    changed = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    if changed:
        raise ReleaseError(f"not committed: {changed.split()[1]}; a release is of a commit")


def last_commit() -> str:
    """The commit's hash. A release takes minutes, and is of the commit that it began with."""
    command = ["git", "-C", str(CHECKOUT), "rev-parse", "HEAD"]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.strip()


def build_once(folder: Path, commit: str, suites: list[str], image: bool) -> Path:
    """Build everything from a copy of the commit in a folder of its own; return the result's."""
    source, output = folder / "source", folder / "dist"
    source.mkdir(parents=True)
    copy = subprocess.run(
        ["git", "-C", str(CHECKOUT), "archive", commit], check=True, stdout=subprocess.PIPE
    )
    subprocess.run(["tar", "-x", "-C", str(source)], input=copy.stdout, check=True)
    ours = ":".join(map(str, (source, *(source / part for part in PARTS))))
    variables = {**environment(), "PYTHONPATH": ours}

    def python(*arguments: str) -> None:
        subprocess.run(
            [sys.executable, *arguments], cwd=source, env=variables, check=True, stdout=sys.stderr
        )

    python("-m", "release.wheel", "-o", str(output))
    (wheel,) = output.glob("*.whl")
    for suite in suites:
        python("-m", "release.deb", "--suite", suite, "--wheel", str(wheel), "-o", str(output))
    if image:
        machine = subprocess.run(
            ["dpkg", "--print-architecture"], check=True, stdout=subprocess.PIPE, text=True
        ).stdout.strip()
        (package,) = output.glob(f"*~deb12_{machine}.deb")
        python("-m", "release.image", str(package), "-o", str(output))
    write_sbom(output / f"edgeser-{version()}.cdx.json")
    return output


def write_sbom(file: Path) -> None:
    """What the packages and the image contain, as CycloneDX: each version and its hashes."""
    command = [
        *(sys.executable, "-m", "cyclonedx_py", "requirements", str(REQUIREMENTS)),
        *("--pyproject", str(CHECKOUT / "pyproject.toml"), "--mc-type", "application"),
        *("--output-reproducible", "--of", "JSON", "-o", str(file)),
    ]
    subprocess.run(command, check=True)
    described = json.loads(file.read_text())
    described["metadata"]["component"]["version"] = (
        version()
    )  # pyproject.toml leaves it to the code
    file.write_text(json.dumps(described, indent=2, sort_keys=True) + "\n")


def digests(folder: Path) -> dict[str, str]:
    """SHA-256 of each file, by its name."""
    return {
        file.name: hashlib.sha256(file.read_bytes()).hexdigest()
        for file in sorted(folder.iterdir())
    }


def compare(first: dict[str, str], second: dict[str, str]) -> None:
    """Raises ``ReleaseError`` if two builds differ."""
    if differ := sorted(set(first.items()) ^ set(second.items())):
        names = ", ".join(sorted({name for name, _ in differ}))
        raise ReleaseError(f"built twice, and not the same bytes: {names}")


def release(output: Path, suites: list[str], image: bool, draft: bool) -> dict[str, str]:
    """Make it in ``output``, which is replaced when all is well. Returns the digests."""
    if not draft:
        check_clean()
    notes = changes((CHECKOUT / "CHANGELOG.md").read_text(), version(), draft)
    commit = last_commit()
    os.environ["SOURCE_DATE_EPOCH"] = str(epoch())
    with tempfile.TemporaryDirectory(prefix="edgeser-release-") as name:
        folder = Path(name)
        made = build_once(folder / "first", commit, suites, image)
        found = digests(made)
        compare(found, digests(build_once(folder / "second", commit, suites, image)))
        (wheel,) = made.glob("*.whl")
        trial = [sys.executable, "-m", "release.trial", str(wheel)]
        subprocess.run(trial, cwd=CHECKOUT, check=True, stdout=sys.stderr)
        (made / "CHANGES.md").write_text(f"# edgeser {version()}\n\n{notes}\n")
        found = digests(made)
        lines = (f"{digest}  {name}\n" for name, digest in found.items())
        (made / "SHA256SUMS").write_text("".join(lines))
        replace(output, made)
    return found


def replace(output: Path, made: Path) -> None:
    """Put a copy of ``made`` in the place of ``output``, which stays if there is no room for it."""
    new = output.with_name(f"{output.name}.new")
    shutil.rmtree(new, ignore_errors=True)
    try:
        shutil.copytree(made, new)
    except (OSError, shutil.Error) as error:
        shutil.rmtree(new, ignore_errors=True)
        raise ReleaseError(f"{output}: cannot be written, and is as it was: {error}") from error
    shutil.rmtree(output, ignore_errors=True)
    new.rename(output)


def main() -> int:
    """Make what the command line asks for."""
    parser = argparse.ArgumentParser(prog="python -m release.build", description=__doc__)
    parser.add_argument("--draft", action="store_true", help="of changes that have no section yet")
    parser.add_argument("--suite", action="append", dest="suites", help="both Debians, if none")
    parser.add_argument("--no-image", action="store_true", help="which takes root")
    parser.add_argument("-o", "--output", type=Path, default=CHECKOUT / "dist")
    asked = parser.parse_args()
    image = not asked.no_image
    try:
        if image and os.geteuid() != 0:
            raise ReleaseError("the image needs root: sudo make release, or IMAGE=no")
        suites = asked.suites or ["bookworm", "trixie"]
        found = release(asked.output, suites, image, asked.draft)
    except ReleaseError as error:
        print(f"edgeser: {error}", file=sys.stderr)
        return 2
    for name, digest in found.items():
        print(f"{digest}  {name}")
    print(
        f"edgeser {version()} is in {asked.output}: built twice, the same bytes; nothing uploaded"
    )
    return 0


if __name__ == "__main__":
    run(main)
