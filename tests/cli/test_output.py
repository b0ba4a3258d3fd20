"""Standard output that is closed, full or wants no colours; Ctrl-C while a command still starts."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest
from click.testing import CliRunner

from edgeser.cli import COMMANDS, main
from tests.command_line import edgeser
from tests.patience import PATIENCE_S, until
from tests.sounds import SPEECH_FILE
from tests.system.daemons import EDGESER

PRINTING = [["models"], ["predict", str(SPEECH_FILE)], ["settings", "show"], ["--help"]]


def shell(line: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", "-o", "pipefail", "-c", line, "bash", *EDGESER],
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
    )


@pytest.mark.parametrize("arguments", PRINTING, ids=lambda a: a[0])
@pytest.mark.parametrize(
    ("redirection", "why"),
    [(">&-", "Bad file descriptor"), (">/dev/full", "No space left on device")],
)
def test_output_that_goes_nowhere_is_one_line(
    arguments: list[str], redirection: str, why: str
) -> None:
    done = shell(f'"$@" {" ".join(arguments)} {redirection}')
    assert done.returncode == 2
    assert done.stderr.startswith(f"edgeser: standard output: cannot be written: {why}; ")
    assert done.stderr.count("\n") == 1


def test_a_reader_that_has_seen_enough_is_no_failure() -> None:
    done = shell('"$@" --help | true')
    assert (done.returncode, done.stderr) == (0, "")


def test_what_an_encoding_lacks_is_replaced(tmp_path: Path) -> None:
    file = tmp_path / "☃.wav"
    file.symlink_to(SPEECH_FILE.absolute())
    done = shell(f'PYTHONIOENCODING=latin-1 "$@" predict {file}')
    assert done.returncode == 0, done.stderr
    assert "/?.wav" in done.stdout.replace("\n", "")  # a long path is wrapped


def test_the_daemon_needs_no_standard_output(tmp_path: Path) -> None:
    done = shell(
        f'"$@" run --source {SPEECH_FILE} --fast --once --bind ipc://{tmp_path}/events.sock >&-'
    )
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr


TELL_WHEN_BEGUN = """
import sys
def tell(event, given):
    if event == "import" and given[0] == "edgeser.cli":
        open(BEGUN, "w").close()
sys.addaudithook(tell)
"""
"""Run as an interpreter starts: the file is there once edgeser's first line, of Ctrl-C, was run."""


@pytest.mark.parametrize("command", ["models", "listen", "run", "doctor", "events"])
@pytest.mark.parametrize("after_s", [0.0, 0.05, 0.2])
def test_ctrl_c_while_a_command_starts_is_no_traceback(
    command: str, after_s: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert command in COMMANDS
    more: list[str] = []
    if command == "run":
        more = ["--source", "-", "--bind", f"ipc://{tmp_path}/events.sock"]
    begun = tmp_path / "begun"
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)
    (tmp_path / "sitecustomize.py").write_text(f"BEGUN = {str(begun)!r}\n{TELL_WHEN_BEGUN}")
    process = subprocess.Popen(
        [*EDGESER, command, *more],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "HOME": str(tmp_path), "XDG_RUNTIME_DIR": str(tmp_path)},
    )
    until(begun.exists)
    time.sleep(after_s)
    process.send_signal(signal.SIGINT)
    assert process.stdin is not None
    process.stdin.close()  # `run` ends with its source at the latest
    process.stdin = None
    _, said = process.communicate(timeout=PATIENCE_S)
    assert b"Traceback" not in said, said.decode()


def test_ctrl_c_while_a_library_in_c_is_imported_is_no_traceback(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def interrupted(_: object) -> None:
        raise ImportError("initialization failed") from KeyboardInterrupt()  # as pybind11 does

    monkeypatch.setattr("edgeser.model.model.load_model", interrupted)
    assert edgeser("models").exit_code == 130


def test_colours_only_where_they_are_wanted() -> None:
    def coloured(**env: str | None) -> bool:
        wanted = {"NO_COLOR": None, "TERM": "xterm", **env}
        done = CliRunner().invoke(main, ["doctor", "--service"], env=wanted, color=True)
        return "\x1b[" in done.stdout

    assert coloured()
    assert not coloured(NO_COLOR="1")
    assert not coloured(TERM="dumb")
