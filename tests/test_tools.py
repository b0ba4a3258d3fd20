"""Scripts of tools/ that are stopped half-way: they leave neither files nor processes."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from pathlib import Path

import pytest

from tests.patience import PATIENCE_S, until

CHECKOUT = Path(__file__).parents[1]
KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
NAMESPACES = ["unshare", "--user", "--map-root-user", "--mount", "--pid", "--fork", "--mount-proc"]

namespaces = pytest.mark.skipif(
    os.geteuid() != 0 or subprocess.run([*NAMESPACES, "true"], capture_output=True).returncode != 0,
    reason="needs root, and namespaces of users and processes",
)


@pytest.mark.parametrize(
    "script",
    ["tools/debian-13", "tools/debian-python", "tools/onnxruntime-headers"]
    + ["edge/edgeser/bench/make_speech.sh"],
)
def test_a_script_that_is_stopped_removes_its_temporary_folder(script: str, tmp_path: Path) -> None:
    if script in ("tools/debian-13", "tools/onnxruntime-headers") and not KEYRING.exists():
        pytest.skip("no keys of Debian: apt-get install debian-archive-keyring")
    programs, temporary, begun = (tmp_path / name for name in ("programs", "tmp", "begun"))
    programs.mkdir()
    temporary.mkdir()
    for name in ("apt-get", "mmdebstrap", "espeak-ng"):
        (programs / name).write_text(f"#!/bin/sh\ntouch '{begun}'\nexec sleep 1000\n")
        (programs / name).chmod(0o755)
    path = f"{programs}{os.pathsep}{os.environ['PATH']}"
    stopped = subprocess.Popen(
        [str(CHECKOUT / script), str(tmp_path / "wanted"), str(tmp_path / "folder")],
        env={**os.environ, "PATH": path, "TMPDIR": str(temporary)},
        start_new_session=True,
    )
    until(begun.exists)
    os.killpg(stopped.pid, signal.SIGTERM)
    stopped.wait()
    assert os.listdir(temporary) == []


def test_a_virtual_environment_that_was_killed_half_way_is_made_again(tmp_path: Path) -> None:
    for file in ("Makefile", "pyproject.toml", "constraints.txt"):
        shutil.copy(CHECKOUT / file, tmp_path)
    programs = tmp_path / ".venv/bin"
    programs.mkdir(parents=True)
    (programs / "python").touch()  # venv makes it first, and pip last
    plan = ["make", "-n", "-C", str(tmp_path), "demo"]
    assert "-m venv .venv" in subprocess.run(plan, capture_output=True, text=True).stdout


@pytest.fixture
def other_root(tmp_path: Path) -> Path:
    """A root with the shell and a few programs."""
    root = tmp_path / "root"
    for name in ("sh", "env", "sleep"):
        program = shutil.which(name)
        assert program is not None
        libraries = subprocess.run(["ldd", program], capture_output=True, text=True).stdout
        for file in (program, *(word for word in libraries.split() if word[0] == "/")):
            (root / file[1:]).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(file, root / file[1:])
    return root


@namespaces
def test_a_command_in_another_root_ends_as_it_does_and_with_what_started_it(
    other_root: Path,
) -> None:
    command = [str(CHECKOUT / "tools/in-root"), str(other_root), "sh", "-c"]
    done = subprocess.run([*command, "echo $$; exit 7"], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (7, "1\n")
    killed = subprocess.Popen([*command, "echo begun; sleep 1000"], stdout=subprocess.PIPE)
    assert killed.stdout is not None
    assert killed.stdout.readline() == b"begun\n"
    killed.kill()
    assert killed.communicate(timeout=PATIENCE_S)[0] == b""  # nothing holds its output
