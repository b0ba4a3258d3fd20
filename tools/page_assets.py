"""Fetches the page's libraries from npm, as pinned in edge/edgeser/page/package.json.

python tools/page_assets.py

Copies the few files that are needed, and the licences, to edge/edgeser/page/static/vendor. A file
whose hash is not the known one is refused.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

PAGE = Path(__file__).resolve().parent.parent / "edge" / "edgeser" / "page"
VENDOR = PAGE / "static" / "vendor"

FILES = {
    "uPlot.iife.min.js": "uplot/dist/uPlot.iife.min.js",
    "uPlot.min.css": "uplot/dist/uPlot.min.css",
    "preact.js": "htm/preact/standalone.module.js",
    "inter.woff2": "@fontsource-variable/inter/files/inter-latin-wght-normal.woff2",
    "inter-ext.woff2": "@fontsource-variable/inter/files/inter-latin-ext-wght-normal.woff2",
    "LICENSE.uplot.txt": "uplot/LICENSE",
    "LICENSE.htm.txt": "htm/LICENSE",
    "LICENSE.preact.txt": "preact/LICENSE",
    "LICENSE.inter.txt": "@fontsource-variable/inter/LICENSE",
}
"""Our name of each file, and where it is in node_modules. htm's file holds Preact as well."""


class AssetError(Exception):
    """The files cannot be fetched; the message says why."""


def is_complete() -> bool:
    """Whether the pinned files are there."""
    return all(_sha256(VENDOR / name) == known for name, known in _known().items())


def bring() -> None:
    """Ask npm for the pinned versions and copy the files. Raises ``AssetError``."""
    npm = shutil.which("npm")
    if npm is None:
        raise AssetError("npm is not installed: apt-get install npm")
    try:
        with tempfile.TemporaryDirectory(prefix="edgeser-npm-") as folder:
            shutil.copy(PAGE / "package.json", folder)
            # --ignore-scripts: no script of a package is run.
            quiet = ["--ignore-scripts", "--no-package-lock", "--no-audit", "--no-fund", "--silent"]
            done = subprocess.run(
                [npm, "install", *quiet], cwd=folder, capture_output=True, text=True
            )
            if done.returncode:
                raise AssetError(f"npm install failed: {(done.stderr or done.stdout).strip()}")
            _take(Path(folder) / "node_modules")
    except OSError as error:  # a full disk, another user's files, or a read-only checkout
        raise AssetError(f"{error}; is there room, and whose is {VENDOR}?") from error


def _take(modules: Path) -> None:
    for name, known in _known().items():
        found = _sha256(modules / FILES[name])
        if found != known:
            raise AssetError(
                f"{FILES[name]}: its SHA-256 is {found or 'none'}, not that in package.json"
            )
    if VENDOR.exists():
        shutil.rmtree(VENDOR)
    VENDOR.mkdir()
    for name, source in FILES.items():
        shutil.copy(modules / source, VENDOR / name)


def _known() -> dict[str, str]:
    """The SHA-256 of each file, by our name of it."""
    of_source = json.loads((PAGE / "package.json").read_text())["sha256"]
    return {name: of_source[source] for name, source in FILES.items()}


def _sha256(file: Path) -> str:
    """Empty if there is no such file."""
    try:
        return hashlib.sha256(file.read_bytes()).hexdigest()
    except (FileNotFoundError, NotADirectoryError):
        return ""


def main() -> int:
    """Fetch the files unless they are there already."""
    if is_complete():
        return 0
    try:
        bring()
    except AssetError as error:
        print(f"edgeser: the page's front end: {error}", file=sys.stderr)
        return 2
    print(f"The page's front end is in {VENDOR}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
