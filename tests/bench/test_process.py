"""The daemon that is measured: with settings of its own, and neither outlives the other."""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path

import pytest

from edgeser.bench import SPEECH_FILE, receiver
from edgeser.bench.process import daemon
from edgeser.errors import UserError
from tests.patience import PATIENCE_S
from tests.system.daemons import EDGESER, Finished


def test_settings_of_the_environment_are_not_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGESER_SPEECH_HOP_SECONDS", "none")
    with daemon(["--source", str(SPEECH_FILE)]) as running:
        running.wait_until_ready()


@pytest.mark.parametrize(
    "arguments",
    [["latency", "--seconds", "300"], ["soak", "--hours", "1000"], ["throughput"]],
    ids=lambda arguments: str(arguments[0]),
)
def test_a_daemon_that_is_killed_ends_the_benchmark(arguments: list[str]) -> None:
    bench = subprocess.Popen(
        [*EDGESER, "bench", *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    try:
        children = _children(bench, "edgeser.bench.receiver", "run")
        os.kill(children["run"], signal.SIGKILL)
        out, err = bench.communicate(timeout=PATIENCE_S)
    finally:
        bench.kill()
    refusal = Finished(bench.returncode, out.decode(), err.decode()).refusal
    assert "the daemon was killed (Killed); its last message: " in refusal
    assert not [pid for pid in children.values() if Path(f"/proc/{pid}").exists()]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGKILL])
def test_a_benchmark_that_is_ended_leaves_no_process(number: signal.Signals) -> None:
    with tempfile.TemporaryDirectory(prefix="e-") as folder:  # short enough for a socket
        bench = subprocess.Popen(
            [*EDGESER, "bench", "latency", "--seconds", "300"],
            env={**os.environ, "TMPDIR": folder},
            stderr=subprocess.PIPE,
            preexec_fn=_as_in_a_terminal,
        )
        children = _children(bench, "edgeser.bench.receiver", "run")
        bench.send_signal(number)
        _, err = bench.communicate(timeout=PATIENCE_S)
        _wait_for_end(children.values())
        if number == signal.SIGKILL:
            assert bench.returncode == -number
        else:
            assert bench.returncode == 128 + number
            assert not list(Path(folder).iterdir())
    assert err == b""


def _as_in_a_terminal() -> None:
    """Tests may themselves run under nohup."""
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


def _wait_for_end(pids: Iterable[int]) -> None:
    until = time.monotonic() + PATIENCE_S
    for pid in pids:
        while "State:\tZ" not in _status(pid):
            assert time.monotonic() < until, f"{pid} lives on"
            time.sleep(0.05)


def _status(pid: int) -> str:
    """What the kernel says of a process; of one that is gone what it says of one that has ended."""
    try:
        return Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return "State:\tZ"


def test_a_daemon_that_hangs_ends_the_benchmark(monkeypatch: pytest.MonkeyPatch) -> None:
    with (
        daemon(["--source", str(SPEECH_FILE), "--await-subscriber"]) as running,
        receiver.receiver(running) as received,
    ):
        events = iter(received)
        next(events)
        os.kill(running.pid, signal.SIGSTOP)
        monkeypatch.setattr(receiver, "HANG_S", 1.0)
        with pytest.raises(UserError, match="the daemon hangs: nothing came from it for"):
            list(events)


def _children(process: subprocess.Popen[bytes], *words: str) -> dict[str, int]:
    """Process ids of its children by a word of their command lines, once all are there."""
    found: dict[str, int] = {}
    until = time.monotonic() + PATIENCE_S
    while len(found) < len(words):
        assert time.monotonic() < until, "it started no such processes"
        time.sleep(0.05)
        for child in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split():
            command = Path(f"/proc/{child}/cmdline").read_text().split("\0")
            found |= {word: int(child) for word in words if word in command}
    return found
