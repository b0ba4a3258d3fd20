"""Builds the documentation site, and fails for a page that is not whole.

The pages are README.md, CONTRIBUTING.md, CHANGELOG.md and docs/, as they read on a forge, and
reference pages made from the code. Sphinx makes HTML of them; a warning of its is an error.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
from pathlib import Path

from edgeser import __version__
from tools.documentation.browser import assemble
from tools.documentation.dead_links import dead_links
from tools.documentation.pages import ROOT, SiteError, stage


def main() -> int:
    """The exit code: 0, or 2 with what is wrong on standard error."""
    parser = argparse.ArgumentParser(prog="make site", description=__doc__)
    parser.add_argument("-o", "--output", type=Path, default=ROOT / "build" / "site")
    parser.add_argument(
        "--external", action="store_true", help="look whether links to other sites answer, instead"
    )
    arguments = parser.parse_args()
    output: Path = arguments.output
    source = output.with_name(f"{output.name}-source")
    try:
        shutil.rmtree(source, ignore_errors=True)
        stage(source)
        if arguments.external:
            return _sphinx("linkcheck", source, output.with_name(f"{output.name}-links"))
        shutil.rmtree(output, ignore_errors=True)
        if _sphinx("html", source, output):
            raise SiteError("Sphinx says what is wrong, above")
        assemble(output / "browser")
        if dead := dead_links(output):
            raise SiteError("links that lead nowhere:\n  " + "\n  ".join(dead))
    except FileNotFoundError as error:
        print(
            f"edgeser: {error.filename} is missing: npm install --prefix examples/browser",
            file=sys.stderr,
        )
        return 2
    except SiteError as error:
        print(f"edgeser: the documentation site: {error}", file=sys.stderr)
        return 2
    print(f"The documentation of edgeser {__version__} is in {output}/index.html")
    return 0


def _sphinx(builder: str, source: Path, output: Path) -> int:
    """The exit code of Sphinx."""
    command = [sys.executable, "-m", "sphinx", "-b", builder, "-c", str(Path(__file__).parent)]
    command += ["-W", "--keep-going", "-q", "-d", str(source / ".doctrees"), str(source)]
    return subprocess.run([*command, str(output)], cwd=ROOT).returncode


if __name__ == "__main__":
    sys.exit(main())
