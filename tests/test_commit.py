"""Which commit of the code runs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from edgeser import __version__
from edgeser import commit as module
from tests.command_line import edgeser


def git(folder: Path, *words: str) -> None:
    who = ("-c", "user.name=a", "-c", "user.email=a@b")
    subprocess.run(["git", *who, *words], cwd=folder, check=True, capture_output=True)


def test_the_commit_is_that_of_the_code_and_of_no_repository_around_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    git(tmp_path, "init", "-q")
    (tmp_path / "theirs.py").write_text("")
    git(tmp_path, "add", "theirs.py")
    git(tmp_path, "commit", "-qm", "theirs")
    installed = tmp_path / ".venv" / "commit.py"
    installed.parent.mkdir()
    installed.write_text("")
    monkeypatch.setattr(module, "__file__", str(installed))
    assert module.commit() == "unknown"
    git(tmp_path, "add", ".venv/commit.py")
    git(tmp_path, "commit", "-qm", "ours")
    assert len(module.commit()) == 12


def test_the_version_names_the_commit_of_a_checkout_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = tmp_path / "edge" / "edgeser" / "commit.py"
    code.parent.mkdir(parents=True)
    code.write_text("")
    monkeypatch.setattr(module, "__file__", str(code))
    assert edgeser("--version").output == f"edgeser {__version__}\n"
    git(tmp_path, "init", "-q")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-qm", "ours")
    told = f"edgeser {__version__} (checkout {module.commit()}"
    assert edgeser("--version").output == f"{told})\n"
    code.write_text("# changed")
    assert edgeser("--version").output == f"{told}+)\n"
    monkeypatch.setenv("PATH", str(tmp_path))  # without git
    assert edgeser("--version").output == f"edgeser {__version__}\n"


def test_the_version_of_an_installed_service_names_the_commit_of_its_checkout(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = tmp_path / "share/edgeser/commit"
    kept.parent.mkdir(parents=True)
    monkeypatch.setattr(sys, "prefix", str(tmp_path))
    monkeypatch.setattr(module, "__file__", str(tmp_path / "commit.py"))
    assert edgeser("--version").output == f"edgeser {__version__}\n"
    for told, shown in (("cafe+\n", " (checkout cafe+)"), ("unknown\n", ""), ("", "")):
        kept.write_text(told)
        assert edgeser("--version").output == f"edgeser {__version__}{shown}\n"
