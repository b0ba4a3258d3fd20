"""A process of ours runs our code, whatever lies in the folder it is started in."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from edgeser.module_command import module_command


def foreign(folder: Path) -> None:
    """Put files there that Python would take for its own modules and ours."""
    for name in ("argparse", "edgeser", "importlib", "json", "runpy"):
        (folder / f"{name}.py").write_text("raise SystemExit('foreign code')")


def test_no_file_of_the_current_folder_is_imported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    foreign(tmp_path)
    monkeypatch.chdir(tmp_path)
    command = module_command("edgeser", "mute", "--help")
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("Usage: edgeser mute")
