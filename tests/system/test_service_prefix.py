"""Where tools/service puts the program: another root, and an interpreter that does nothing."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

SERVICE = Path(__file__).parents[2] / "tools/service"

PYTHON = """#!/bin/sh
if [ "$1 $2" = "-m venv" ]; then
    mkdir -p "$3/bin"
    cp "$0" "$3/bin/python"
    echo "command = $3" >"$3/pyvenv.cfg"
fi
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="gives folders to an account, which needs root")
@pytest.mark.skipif(
    shutil.which("systemd-sysusers") is None, reason="no systemd-sysusers: apt-get install systemd"
)
@pytest.mark.parametrize("prefix", ["/opt/edgeser", "/opt/edgeser/", "/opt/edgeser//"])
def test_a_slash_behind_the_prefix_changes_nothing(prefix: str, tmp_path: Path) -> None:
    root, python = tmp_path / "root", tmp_path / "python"
    (root / "etc").mkdir(parents=True)
    python.write_text(PYTHON)
    python.chmod(0o755)

    def service(action: str) -> None:
        places = {"PREFIX": prefix, "DESTDIR": str(root), "SERVICE_PYTHON": str(python)}
        done = subprocess.run(
            [str(SERVICE), action], env={**os.environ, **places}, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr

    command = root / "usr/local/bin/edgeser"
    for _ in range(2):  # the second replaces the first
        service("install")
        assert os.listdir(root / "opt") == ["edgeser"]
        assert "bin" in os.listdir(root / "opt/edgeser")
        assert (root / "opt/edgeser/pyvenv.cfg").read_text() == "command = /opt/edgeser\n"
        assert os.readlink(command) == "/opt/edgeser/bin/edgeser"
        unit = (root / "etc/systemd/system/edgeser.service").read_text()
        assert "ExecStart=/opt/edgeser/bin/edgeser " in unit
    service("uninstall")
    assert os.listdir(root / "opt") == []
    assert not command.is_symlink()
