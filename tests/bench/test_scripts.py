"""The scripts of ``benchmarks``: what they refuse before they begin."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import bridge_latency, known_voices
from edgeser.errors import UserError
from edgeser_train.corpora import Corpus

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.mark.parametrize(
    ("script", "words", "said"),
    [
        ("gpu_check", "--batches 1,x", "--batches: expected a whole number, 1 or more, got 'x'"),
        ("gpu_check", "--runs 0", "--runs: expected a whole number, 1 or more, got '0'"),
        ("bridge_latency", "--turns 0", "--turns: expected a whole number, 1 or more, got '0'"),
        ("network_microphones", "--devices 0", "--devices: expected a whole number, 1 or more"),
        ("network_microphones", "--devices 2", "--talking 10: there are 2 devices"),
        ("quantised", "runs --corpus a=b -o x --rounds 0", "--rounds: expected a whole number"),
        ("quantised", "nowhere --corpus emodb=/nowhere -o x", "/nowhere"),
    ],
)
def test_an_option_that_makes_no_sense_is_refused_in_one_line(
    script: str, words: str, said: str
) -> None:
    command = [sys.executable, BENCHMARKS / f"{script}.py", *words.split()]
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
    assert done.stderr.startswith(f"{script}: ")
    assert said in done.stderr


def test_ctrl_c_ends_a_script_without_a_traceback() -> None:
    code = "from benchmarks import script; script.run(lambda: __import__('os').kill(0, 2))"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=BENCHMARKS.parent,
        capture_output=True,
        text=True,
        start_new_session=True,
    )
    assert (done.returncode, done.stderr) == (130, "")


def test_a_daemon_that_fails_beside_a_bridge_is_not_waited_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(bridge_latency, "SPEECH_FILE", "/nowhere.wav")
    with pytest.raises(UserError, match="the daemon ended with 2"):
        bridge_latency.latencies(None)


def test_what_annotate_refuses_is_its_own_line(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(UserError, match="mine: 'edgeser annotate' failed"):
        known_voices.annotated(Corpus("mine", "CC0-1.0", (), ()), "no-such-model", 1, [])
    assert "list.csv: no sound files in it" in capfd.readouterr().err
