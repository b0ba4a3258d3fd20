"""What releases are made of: cheap to check, and wrong in ways that a build shows only late."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

from release.source import EXTRAS, REQUIREMENTS, version

CHECKOUT = Path(__file__).parent.parent
DEBIAN = CHECKOUT / "release/debian"


def _named(requirement: str) -> str:
    found = re.match(r"[\w.-]+", requirement)
    assert found is not None
    return found[0].lower().replace("_", "-")


def _pins(text: str) -> dict[str, set[str]]:
    """Package to its versions: one, or one for each range of Pythons."""
    pins: dict[str, set[str]] = {}
    for name, pin in re.findall(r"^([\w.-]+)==([\w.]+)", text, re.MULTILINE):
        pins.setdefault(_named(name), set()).add(pin)
    return pins


def test_everything_that_the_service_needs_is_pinned_by_its_hash() -> None:
    text = REQUIREMENTS.read_text()
    project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["project"]
    wanted = list(project["dependencies"])
    for extra in EXTRAS:
        wanted += project["optional-dependencies"][extra]
    assert {_named(one) for one in wanted} <= set(_pins(text))
    for requirement in re.split(r"\n(?=\w)", text)[1:]:
        assert "--hash=sha256:" in requirement, requirement
    assert "://" not in text  # no index is named


def test_it_has_the_versions_of_the_constraints() -> None:
    constraints = _pins((CHECKOUT / "constraints.txt").read_text())
    for name, versions in _pins(REQUIREMENTS.read_text()).items():
        if name in constraints:
            assert constraints[name] <= versions, f"{name}: run 'make requirements'"


def test_the_version_is_the_one_that_runs() -> None:
    import edgeser

    assert version() == edgeser.__version__


@pytest.mark.parametrize("script", ["preinst", "postinst", "prerm", "postrm"])
def test_the_scripts_of_the_package_are_sound(script: str) -> None:
    file = DEBIAN / f"edgeser.{script}"
    assert subprocess.run(["sh", "-n", file], capture_output=True, text=True).stderr == ""
    text = file.read_text()
    assert "set -e" in text
    assert "#DEBHELPER#" in text


def test_program_share_has_what_shells_and_man_look_for(tmp_path: Path) -> None:
    filler = [CHECKOUT / "tools/program-share", tmp_path, sys.executable]
    subprocess.run(filler, check=True, env={**os.environ, "PYTHONPATH": str(CHECKOUT / "edge")})
    share = tmp_path / "share"
    assert (share / "man/man1/edgeser.1").read_text().startswith(".TH EDGESER 1")
    service = (CHECKOUT / "tools/service").read_text()
    pages = re.search(r'^pages="([^"]+)"', service, re.MULTILINE)
    assert pages is not None
    for page in pages[1].replace("#", "").split():
        assert (share / page).stat().st_size > 0
    assert {file.name for file in (share / "edgeser").iterdir()} >= {
        "edgeser.toml",
        "pulseaudio.conf",
        "alerts.yml",
    }
