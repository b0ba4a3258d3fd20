"""The service in a real systemd with a microphone: PortAudio in the sandbox, and none at all."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from edgeser.model.golden import waveform
from tests.sounds import silence
from tests.system.box import CHECKOUT, SHARED, Box
from tests.system.listening import Listener, listening
from tests.virtual_microphone import VirtualMicrophone

DROP_IN = CHECKOUT / "systemd" / "drop-ins" / "pulseaudio.conf"


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    """A remark, with silence in front for PulseAudio's ramp."""
    file = tmp_path / "remark.wav"
    soundfile.write(file, np.concatenate((silence(0.4), waveform(1, 0.8), silence(0.8))), 16_000)
    return file


@pytest.fixture
def listener(box: Box) -> Iterator[Listener]:
    """Follows the service, which is set to hear its microphone."""
    box.path("/etc/edgeser/edgeser.toml").write_text("[audio]\nstall_seconds = 1.0\n")
    with listening(f"ipc://{box.path('/run/edgeser/events.sock')}") as listener:
        yield listener


def connect(box: Box, microphone: VirtualMicrophone) -> None:
    """Do what the drop-in for PulseAudio says, for the server of the tests."""
    home = Path(microphone.environment["HOME"])
    (box.shared / "cookie").write_bytes((home / ".config/pulse/cookie").read_bytes())
    socket = Path(tempfile.mkdtemp(dir=box.shared)) / "native"
    socket.parent.chmod(0o755)
    microphone.offer(socket)
    inside = SHARED / socket.relative_to(box.shared)
    text = DROP_IN.read_text()
    text = text.replace("/run/user/1000/pulse/native", str(inside))
    text = text.replace("/home/alice/.config/pulse/cookie", f"{SHARED}/cookie")
    source = microphone.environment["PULSE_SOURCE"]
    box.drop_in("pulseaudio", f"{text}\nEnvironment=PULSE_SOURCE={source}\n")


def test_it_hears_in_its_sandbox_and_survives_its_capture_process(
    virtual_microphone: VirtualMicrophone, box: Box, listener: Listener, recording: Path
) -> None:
    connect(box, virtual_microphone)
    box.run("systemctl", "start", "edgeser")
    listener.wait_for(lambda self: "listening" in self.states)
    virtual_microphone.play(recording)
    listener.wait_for(lambda self: len(self.finals) == 1)
    box.run("pkill", "-KILL", "-u", "edgeser", "-f", "edgeser.audio.capture")
    listener.wait_for(lambda self: "audio_restored" in self.faults)
    assert listener.faults == ["audio_lost", "audio_restored"]
    virtual_microphone.play(recording)
    listener.wait_for(lambda self: len(self.finals) == 2)
    assert box.state()["NRestarts"] == "0"
    assert len(listener.epochs) == 1


def test_a_missing_microphone_is_waited_for(
    virtual_microphone: VirtualMicrophone, box: Box, listener: Listener
) -> None:
    connect(box, virtual_microphone)
    virtual_microphone.unload()
    box.run("systemctl", "start", "--no-block", "edgeser")
    listener.wait_for(lambda self: "no_audio" in self.states)
    box.wait_for(r"(?s)(?=.*ActiveState=activating)(?=.*StatusText=no audio, .*microphone)")
    assert activity(box)["found"].startswith("activating; no audio, ")
    virtual_microphone.load()
    box.wait_for("ActiveState=active")
    assert box.state()["NRestarts"] == "0"
    assert "audio_restored" in box.journal()
    box.wait_for("StatusErrno=0")
    assert activity(box)["ok"]
    virtual_microphone.unload()
    box.wait_for("StatusText=no audio")
    assert activity(box)["found"].startswith("active; no audio, ")


def activity(box: Box) -> dict[str, Any]:
    """What the doctor says of it; where it hears nothing, that needs no start, but a microphone."""
    lines = box.run("edgeser", "doctor", "--service", "--json", check=False).splitlines()
    found: dict[str, Any] = next(f for f in map(json.loads, lines) if f["check"] == "activity")
    if not found["ok"]:
        assert "plug in a microphone" in found["fix"]
        assert "systemctl start" not in found["fix"]
    return found


def test_a_start_without_a_microphone_is_tried_again(box: Box, listener: Listener) -> None:
    box.drop_in("impatient", "[Service]\nRestartSec=200ms\nTimeoutStartSec=4\n")
    box.run("systemctl", "start", "--no-block", "edgeser")
    box.wait_for("NRestarts=[1-9]")
    assert "start operation timed out" in box.journal()
    assert "audio_lost: default microphone: no input device" in box.journal()


def test_a_service_that_stays_deaf_is_restarted(
    virtual_microphone: VirtualMicrophone, box: Box, listener: Listener
) -> None:
    connect(box, virtual_microphone)
    folder = box.shared / "impatient"
    folder.mkdir(exist_ok=True)
    (folder / "sitecustomize.py").write_text(
        "import edgeser.daemon.health\nedgeser.daemon.health.DEAF_LIMIT_S = 3\n"
    )
    path = SHARED / folder.name
    box.drop_in(
        "impatient", f"[Service]\nRestartSec=200ms\nWatchdogSec=3\nEnvironment=PYTHONPATH={path}\n"
    )
    box.run("systemctl", "start", "edgeser")
    listener.wait_for(lambda self: "listening" in self.states)
    virtual_microphone.unload()
    listener.wait_for(lambda self: "restart_due" in self.faults)
    assert listener.faults == ["audio_lost", "restart_due"]
    box.wait_for("NRestarts=[1-9]")
    virtual_microphone.load()
    box.wait_for("ActiveState=active")
    listener.wait_for(lambda self: len(self.epochs) >= 2 and self.states[-1] == "listening")
