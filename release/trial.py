"""The wheel in empty environments, made by pip, pipx and uv: does what is installed work?

python -m release.trial dist/edgeser-0.1.0-py3-none-any.whl [--with pip]
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path

from release.command import run
from release.source import CHECKOUT, version

_STATIC = "edgeser/page/static/"
_CONSTRAINTS = str(CHECKOUT / "constraints.txt")

_HEAR = """
import edgeser
from edgeser.bench import SPEECH_FILE
from edgeser.page.assets import check_assets

check_assets()
finals = list(edgeser.Recognizer().file(SPEECH_FILE))
assert finals, "nothing was heard in the bundled sound"
print(edgeser.__version__, len(finals))
"""


def check_contents(wheel: Path) -> None:
    """Check that the page's files and the licences of third-party code are in the wheel."""
    sys.path.insert(0, str(CHECKOUT / "tools"))
    import page_assets  # type: ignore[import-not-found]

    names = set(zipfile.ZipFile(wheel).namelist())
    wanted = {f"{_STATIC}vendor/{name}" for name in page_assets.FILES}
    wanted |= {f"edgeser-{version()}.dist-info/licenses/LICENSE", "edgeser/py.typed"}
    assert not wanted - names, f"{wheel.name}: without {', '.join(sorted(wanted - names))}"


def with_pip(wheel: Path, folder: Path, environment: dict[str, str]) -> Path:
    _run([sys.executable, "-m", "venv", folder / "pip"], environment)
    python = folder / "pip/bin/python"
    options = ["--quiet", "--disable-pip-version-check", "--constraint", _CONSTRAINTS]
    _run([python, "-m", "pip", "install", *options, f"{wheel}[page]"], environment)
    return python


def with_pipx(wheel: Path, folder: Path, environment: dict[str, str]) -> Path:
    options = ["--quiet", f"--pip-args=--constraint={_CONSTRAINTS}"]
    _run([sys.executable, "-m", "pipx", "install", *options, f"{wheel}[page]"], environment)
    return folder / "pipx/venvs/edgeser/bin/python"


def with_uv(wheel: Path, folder: Path, environment: dict[str, str]) -> Path:
    options = ["--quiet", "--python", sys.executable, "--constraints", _CONSTRAINTS]
    tool = [sys.executable, "-m", "uv", "tool", "install", *options]
    _run([*tool, f"edgeser[page] @ {wheel.as_uri()}"], environment)
    return folder / "uv/edgeser/bin/python"


TOOLS: dict[str, Callable[[Path, Path, dict[str, str]], Path]] = {
    "pip": with_pip,
    "pipx": with_pipx,
    "uv": with_uv,
}


def try_out(wheel: Path, tool: str) -> str:
    """Install with this tool; return the version that runs and how many segments it heard."""
    with tempfile.TemporaryDirectory(prefix="edgeser-") as name:
        folder = Path(name)
        environment = {
            name: value for name, value in os.environ.items() if not name.startswith("PYTHON")
        }
        environment |= {
            "HOME": str(folder / "home"),
            "PIPX_HOME": str(folder / "pipx"),
            "PIPX_BIN_DIR": str(folder / "bin"),
            "UV_TOOL_DIR": str(folder / "uv"),
            "UV_TOOL_BIN_DIR": str(folder / "bin"),
        }
        (folder / "home").mkdir()
        python = TOOLS[tool](wheel.absolute(), folder, environment)
        heard = _run([python, "-c", _HEAR], environment)
        command = python.parent / "edgeser"
        assert version() in _run([command, "--version"], environment)
        _run([command, "models"], environment)
        return heard


def _run(command: list[str | Path], environment: dict[str, str]) -> str:
    """The command's output; its standard error is shown. Raises ``CalledProcessError``."""
    done = subprocess.run(command, env=environment, cwd="/", check=True, stdout=subprocess.PIPE)
    return done.stdout.decode().strip()


def main() -> None:
    """Try the tools that the command line names, or all."""
    parser = argparse.ArgumentParser(prog="python -m release.trial", description=__doc__)
    parser.add_argument("wheel", type=Path)
    parser.add_argument("--with", dest="tools", action="append", choices=list(TOOLS))
    asked = parser.parse_args()
    check_contents(asked.wheel)
    for tool in asked.tools or TOOLS:
        print(f"{tool}: {try_out(asked.wheel, tool)} segments heard", flush=True)


if __name__ == "__main__":
    run(main)
