"""How ``edgeser run`` ends, as whoever starts it again is told."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
from pathlib import Path

import zmq

from tests.sounds import SPEECH_FILE
from tests.system.daemons import EDGESER, edgeser

FAILING = """
import sys
from edgeser.cli import main
from edgeser.daemon.intake import Intake

def hear(self, item):
    raise OSError(5, "Input/output error")

Intake.hear = hear
main(sys.argv[1:])
"""


def test_a_machine_that_fails_while_it_runs_is_a_line_and_worth_another_start(
    tmp_path: Path,
) -> None:
    done = subprocess.run(
        [
            *(sys.executable, "-c", FAILING, "run", "--source", str(SPEECH_FILE)),
            *("--bind", f"ipc://{tmp_path}/events.sock"),
        ],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 1, done.stderr  # not 2, after which systemd does not try again
    assert done.stderr.splitlines()[-1] == "edgeser: [Errno 5] Input/output error"
    assert "Traceback" not in done.stderr


def test_it_ends_with_its_terminal_and_reloads_settings_while_that_is_there(
    tmp_path: Path,
) -> None:
    ours, its = pty.openpty()
    daemon = subprocess.Popen(
        [
            *("setsid", "--ctty", *EDGESER, "run", "--source", str(SPEECH_FILE)),
            *("--bind", f"ipc://{tmp_path}/events.sock"),
        ],
        stdin=its,
        stdout=its,
        stderr=its,
        env={**os.environ, "XDG_STATE_HOME": str(tmp_path)},
    )
    os.close(its)
    try:
        with open(ours, "rb", buffering=0) as terminal:
            said = b""
            while b"ready: " not in said:
                said += terminal.read(1000)
            daemon.send_signal(signal.SIGHUP)
            while b"settings reloaded" not in said:
                said += terminal.read(1000)
            assert daemon.poll() is None
        assert daemon.wait(120) == 0  # its window was closed
        assert not (tmp_path / "events.sock").exists()
    finally:
        daemon.kill()
        daemon.wait()


def test_more_subscribers_come_than_the_soft_limit_has_files(tmp_path: Path) -> None:
    endpoint = f"ipc://{tmp_path}/events.sock"
    daemon = subprocess.Popen(
        [
            *("sh", "-c", 'ulimit -Sn 96; exec "$@"', "-"),
            *(*EDGESER, "run", "--source", str(SPEECH_FILE), "--bind", endpoint),
        ],
        stderr=subprocess.DEVNULL,
        env={**os.environ, "XDG_STATE_HOME": str(tmp_path)},
    )
    context = zmq.Context()
    try:
        subscribers = [context.socket(zmq.SUB) for _ in range(120)]
        for subscriber in subscribers:
            subscriber.subscribe(b"")
            subscriber.connect(endpoint)
        for subscriber in subscribers:
            while not subscriber.poll(100):  # each is told the status every second
                assert daemon.poll() is None
    finally:
        context.destroy(linger=0)
        daemon.kill()
        daemon.wait()


def test_a_variable_of_no_section_is_told_by_daemon_and_check(tmp_path: Path) -> None:
    (settings := tmp_path / "edgeser.toml").touch()
    env = {**os.environ, "XDG_STATE_HOME": str(tmp_path), "EDGESER_AUDOI_DEVICE": "USB"}
    source = ("--source", str(SPEECH_FILE), "--fast", "--once")
    run = ("run", *source, "--bind", f"ipc://{tmp_path}/events.sock")
    for command in (run, ("settings", "check", str(settings))):
        done = edgeser(*command, env=env)
        assert done.code == 0, done.err
        assert done.err.count("EDGESER_AUDOI_DEVICE: not read; there is no section 'audoi'") == 1
