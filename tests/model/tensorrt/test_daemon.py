"""The daemon that was told to run an engine: on one (with the FAKE TensorRT), and without."""

from __future__ import annotations

import signal
import subprocess
from pathlib import Path

import pytest

from tests.model.tensorrt import stubs
from tests.model.tensorrt.running import FAKE, WINDOWS, edgeser, environment
from tests.sounds import SPEECH_FILE
from tests.system.daemons import running

NO_DRIVER = "no NVIDIA driver: libcuda.so.1 is not installed"


def test_asked_for_by_name_it_falls_back_and_says_so() -> None:
    sound = ("--source", str(SPEECH_FILE), "--fast", "--once")
    arguments = (*sound, "--model", WINDOWS, "--backend", "tensorrt")
    with running(*arguments) as daemon:
        assert daemon.wait() == 0
        said = f"backend_fell_back: onnxruntime/CPU runs the model, not tensorrt: {NO_DRIVER}"
        assert said in daemon.log.read_text()
    # It is older than any subscription: those who want it ask for what was before.
    assert daemon.statuses[-1].counters.faults == 1
    assert {s.backend for s in daemon.statuses} == {"onnxruntime/CPU"}
    assert {s.backend_reason for s in daemon.statuses} == {NO_DRIVER}
    assert len(daemon.finals) == 5


def test_auto_says_why_in_log_and_status_and_is_no_fault(tmp_path: Path) -> None:
    file = tmp_path / "edgeser.toml"
    file.write_text("")
    arguments = ("--source", "-", "--settings", str(file))
    with running(*arguments, stdin=subprocess.PIPE, await_subscriber=False) as daemon:
        daemon.wait_for("self.statuses")
        assert daemon.statuses[-1].backend_reason == NO_DRIVER
        assert f"on onnxruntime/CPU (not TensorRT: {NO_DRIVER})" in daemon.log.read_text()
        assert not daemon.faults
        file.write_text('[model]\nbackend = "onnxruntime"\n')
        daemon.signal(signal.SIGHUP)
        daemon.wait_for("self.statuses[-1].backend_reason == ''")
        file.write_text('[model]\nbackend = "tensorrt"\n')
        daemon.signal(signal.SIGHUP)
        daemon.wait_for("self.faults")
        (fault,) = daemon.faults
        assert (fault.code, fault.recovered) == ("backend_fell_back", True)
        assert daemon.process.stdin is not None
        daemon.process.stdin.close()
        daemon.signal(signal.SIGTERM)
        assert daemon.wait() == 0


def test_settings_check_accepts_what_falls_back_and_says_so(tmp_path: Path) -> None:
    file = tmp_path / "edgeser.toml"
    file.write_text('[model]\nbackend = "tensorrt"\n')
    done = edgeser("settings", "check", str(file))
    assert done.returncode == 0
    assert done.stderr.endswith(f"would run the model, not tensorrt: {NO_DRIVER}\n")


@pytest.mark.parametrize("backend", ["auto", "tensorrt"])
def test_an_engine_that_verifies_is_taken(tmp_path: Path, backend: str) -> None:
    driver, cache = stubs.driver(tmp_path / "driver"), str(tmp_path / "cache")
    done = edgeser(
        "engine",
        "build",
        WINDOWS,
        path=(FAKE,),
        libraries=(driver,),
        XDG_CACHE_HOME=cache,
    )
    assert done.returncode == 0, done.stderr
    here = environment(path=(FAKE,), libraries=(driver,), XDG_CACHE_HOME=cache)
    sound = ("--source", str(SPEECH_FILE), "--fast", "--once")
    arguments = (*sound, "--model", WINDOWS, "--backend", backend)
    with running(*arguments, env=here) as daemon:
        assert daemon.wait() == 0
    assert not daemon.faults
    assert {s.backend for s in daemon.statuses} == {"tensorrt/Orin fp32"}
    assert {s.backend_reason for s in daemon.statuses} == {""}
    assert len(daemon.finals) == 5
