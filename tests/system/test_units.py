"""The units as files: well formed, hardened, and two that differ only where they must."""

from __future__ import annotations

import re
import shutil
import subprocess
from difflib import ndiff
from pathlib import Path

import pytest

UNITS = Path(__file__).parents[2] / "systemd"
MAX_EXPOSURE = 1.5

needs_systemd = pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="no systemd-analyze: apt-get install systemd"
)


@pytest.fixture(params=sorted(UNITS.rglob("*.service")), ids=lambda file: file.name)
def unit(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A unit whose program exists, as after its installation."""
    text = request.param.read_text()
    file = tmp_path / request.param.name
    file.write_text(text.replace("/opt/edgeser/bin/edgeser", "/bin/true"))
    return file


@needs_systemd
def test_systemd_has_nothing_to_say_about_it(unit: Path) -> None:
    name = str(unit).replace("@", "@kitchen")
    if "@" in unit.name:
        shutil.copy(unit, name)
    done = subprocess.run(["systemd-analyze", "verify", name], capture_output=True, text=True)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


@needs_systemd
def test_its_exposure_is_low(unit: Path) -> None:
    command = ["systemd-analyze", "security", "--offline=true", "--no-pager", str(unit)]
    done = subprocess.run(command, capture_output=True, text=True)
    found = re.search(r"exposure level for \S+: ([\d.]+)", done.stdout)
    assert found, done.stdout + done.stderr
    assert float(found[1]) <= MAX_EXPOSURE


@needs_systemd
@pytest.mark.parametrize("name", ["pulseaudio.conf", "nvidia.conf"])
def test_systemd_has_nothing_to_say_about_the_drop_ins(name: str, tmp_path: Path) -> None:
    unit = tmp_path / "edgeser.service"
    unit.write_text(
        (UNITS / "edgeser.service").read_text().replace("/opt/edgeser/bin/edgeser", "/bin/true")
    )
    folder = tmp_path / "edgeser.service.d"
    folder.mkdir()
    shutil.copy(UNITS / "drop-ins" / name, folder)
    done = subprocess.run(["systemd-analyze", "verify", str(unit)], capture_output=True, text=True)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_the_template_differs_by_its_instance_only() -> None:
    one, many = (
        [line for line in (UNITS / name).read_text().splitlines() if line[:1] not in ("", "#")]
        for name in ("edgeser.service", "edgeser@.service")
    )
    changed = {line[2:].partition("=")[0] for line in ndiff(one, many) if line[:1] in "+-"}
    assert changed == {
        "Description",
        "ExecStart",
        "Environment",
        "RuntimeDirectory",
        "RuntimeDirectoryPreserve",
        "StateDirectory",
    }
    assert all("%i" in line for line in many if line not in one)
