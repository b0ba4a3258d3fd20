"""What tools/service makes of files: another root, and an interpreter that does nothing."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.system.interpreter import write_interpreter

SERVICE = Path(__file__).parents[2] / "tools/service"

pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="gives folders to an account, which needs root"),
    pytest.mark.skipif(
        shutil.which("systemd-sysusers") is None,
        reason="no systemd-sysusers: apt-get install systemd",
    ),
]


class Image:
    """The files of another system, in ``root``."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "root"
        (self.root / "etc").mkdir(parents=True)
        self._python = folder / "python"
        write_interpreter(self._python)

    def service(self, action: str, **variables: str) -> None:
        """Install or uninstall there."""
        places = {"DESTDIR": str(self.root), "SERVICE_PYTHON": str(self._python)}
        done = subprocess.run(
            [str(SERVICE), action],
            env={**os.environ, **places, **variables},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr


@pytest.fixture
def image(tmp_path: Path) -> Image:
    """One in which nothing was installed."""
    return Image(tmp_path)


@pytest.mark.parametrize("prefix", ["/opt/edgeser", "/opt/edgeser/", "/opt/edgeser//"])
def test_a_slash_behind_the_prefix_changes_nothing(prefix: str, image: Image) -> None:
    root = image.root
    command = root / "usr/local/bin/edgeser"
    for _ in range(2):  # the second replaces the first
        image.service("install", PREFIX=prefix)
        assert os.listdir(root / "opt") == ["edgeser"]
        assert "bin" in os.listdir(root / "opt/edgeser")
        assert (root / "opt/edgeser/pyvenv.cfg").read_text() == "command = /opt/edgeser\n"
        assert os.readlink(command) == "/opt/edgeser/bin/edgeser"
        unit = (root / "etc/systemd/system/edgeser.service").read_text()
        assert "ExecStart=/opt/edgeser/bin/edgeser " in unit
    image.service("uninstall", PREFIX=prefix)
    assert os.listdir(root / "opt") == []
    assert not command.is_symlink()


def test_an_upgrade_keeps_the_lake_and_brings_it_to_nobody_else(image: Image) -> None:
    asked, unit = image.root / "opt/edgeser/pip", "etc/systemd/system/edgeser-lake.service"
    image.service("install")
    assert "lake" not in asked.read_text()
    assert not (image.root / unit).exists()
    image.service("install", LAKE="1")
    image.service("install")
    assert "lake]" in asked.read_text()
    assert (image.root / unit).exists()
