"""The daemon on a real PortAudio device: what is played into it is what it publishes."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from statistics import median

import numpy as np
import pytest
import soundfile

from edgeser import Recognizer
from edgeser.events.schema import EmotionEvent
from edgeser.pcm import FRAME_SAMPLES, Samples
from tests.sounds import SPEECH_SEGMENTS, monologue, noise, silence, speech
from tests.system.daemons import edgeser, running
from tests.virtual_microphone import VirtualMicrophone

RECOGNIZER = Recognizer()


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    """The sample, with silence in front for PulseAudio's ramp."""
    file = tmp_path / "speech.wav"
    soundfile.write(file, np.concatenate((silence(0.5), speech())), 16_000)
    return file


def recognised_at(phase: int, heard: Samples) -> list[EmotionEvent]:
    """The finals of ``heard`` when it begins ``phase`` samples behind a frame of the grid."""
    return list(RECOGNIZER.samples(np.concatenate((silence(0.5 + phase / 16_000), heard))))


def distance(events: list[EmotionEvent], others: list[EmotionEvent]) -> float:
    """Largest difference of a score; infinite where there are more segments or fewer."""
    if len(events) != len(others):
        return float("inf")
    return max(
        abs(event.scores[label] - other.scores[label])
        for event, other in zip(events, others, strict=True)
        for label in event.scores
    )


def test_what_the_microphone_gives_is_what_is_scored(
    virtual_microphone: VirtualMicrophone, recording: Path, tmp_path: Path
) -> None:
    with running("--source", "mic", env=virtual_microphone.environment) as daemon:
        daemon.wait_for("any(s.state == 'listening' for s in self.statuses)")
        with virtual_microphone.recording(tmp_path / "heard.raw"):
            virtual_microphone.play(recording)
            daemon.wait_for(f"len(self.finals) == {SPEECH_SEGMENTS}")
        daemon.signal(signal.SIGTERM)
        assert daemon.wait() == 0

    # The second listener began at another sample of the stream, somewhere between two frames of
    # the daemon's, and scores depend on where: there is one place at which all are the same. Near
    # it they are alike, more often than not, so that is where to look first.
    heard = np.fromfile(tmp_path / "heard.raw", np.int16)
    step = 16
    near = [distance(daemon.finals, recognised_at(p, heard)) for p in range(0, FRAME_SAMPLES, step)]
    for phase in sorted(range(FRAME_SAMPLES), key=lambda p: near[round(p / step) % len(near)]):
        expected = recognised_at(phase, heard)
        if distance(daemon.finals, expected) < 1e-3:
            break
    else:
        pytest.fail(f"nowhere alike: {[event.scores for event in daemon.finals]}, {near}")
    began_at = median(e.start - o.start for e, o in zip(daemon.finals, expected, strict=True))
    for event, other in zip(daemon.finals, expected, strict=True):
        assert event.start - began_at == pytest.approx(other.start, abs=0.03)
        assert event.end - began_at == pytest.approx(other.end, abs=0.03)
        assert event.label == other.label
        assert event.latency_ms.capture >= 0
    assert daemon.statuses[-1].counters.lost_samples == 0


def test_a_frozen_sound_server_is_said_and_survived(
    virtual_microphone: VirtualMicrophone, recording: Path
) -> None:
    with running("--source", "mic", env=virtual_microphone.environment) as daemon:
        daemon.wait_for("any(s.state == 'listening' for s in self.statuses)")
        virtual_microphone.freeze()
        daemon.wait_for("any(f.code == 'audio_lost' for f in self.faults)")
        daemon.wait_for("self.state == 'no_audio'")
        virtual_microphone.thaw()
        daemon.wait_for("any(f.code == 'audio_restored' for f in self.faults)")
        daemon.wait_for("self.state == 'listening'")
        virtual_microphone.play(recording)
        daemon.wait_for(f"len(self.finals) == {SPEECH_SEGMENTS}")
        daemon.signal(signal.SIGTERM)
        assert daemon.wait() == 0
    counters = daemon.statuses[-1].counters
    assert counters.restarts >= 1
    assert counters.lost_samples > 16_000
    status = daemon.statuses[-1]
    assert counters.samples + counters.lost_samples == pytest.approx(
        status.position_s * 16_000, abs=320
    )


def test_an_unknown_microphone_is_refused_with_those_there_are(
    virtual_microphone: VirtualMicrophone,
) -> None:
    refusal = edgeser("run", "--source", "mic", "--device", "no such thing").refusal
    assert "no such thing" in refusal
    assert "pulse" in refusal


def test_devices_and_doctor_find_it(virtual_microphone: VirtualMicrophone) -> None:
    done = edgeser("devices", "--json")
    assert "pulse" in [device["name"] for device in json.loads(done.out)]
    assert "pulse" in edgeser("devices").out
    done = edgeser("doctor", "--json")
    findings = [json.loads(line) for line in done.out.splitlines()]
    # All is well but that it is silent: nothing plays on the virtual microphone.
    (silent,) = (f for f in findings if not f["ok"])
    assert silent["check"] == "level", findings
    assert done.code == 1


def test_the_doctor_reads_the_level_of_what_is_recorded(
    virtual_microphone: VirtualMicrophone, tmp_path: Path
) -> None:
    hiss, settings = tmp_path / "hiss.wav", tmp_path / "edgeser.toml"
    soundfile.write(hiss, noise(240, rms=327.68), 16_000)  # -40 dBFS; its loudest 20 ms a bit more
    playing = virtual_microphone.start_playing(hiss)

    def level() -> dict[str, object]:
        done = edgeser("doctor", "--settings", str(settings), "--json")
        findings = {f["check"]: f for f in map(json.loads, done.out.splitlines())}
        assert findings["endpoints"]["ok"], findings
        return dict(findings["level"])

    try:
        with running("--source", "mic", env=virtual_microphone.environment) as daemon:
            settings.write_text(f'[events]\nbind = ["{daemon.endpoint}2"]\n')
            by_device = level()
            settings.write_text(f'[events]\nbind = ["{daemon.endpoint}"]\n')
            daemon.wait_for("self.state == 'listening' or self.state == 'speech'")
            by_daemon = level()
            for found in (by_device, by_daemon):
                assert found["ok"], found
                assert -43 <= int(str(found["found"]).split()[0]) <= -37
            virtual_microphone.freeze()
            daemon.wait_for("self.state == 'no_audio'")
            deaf = level()
            assert not deaf["ok"]
            assert "the daemon hears nothing on mic" in str(deaf["found"])
            virtual_microphone.thaw()
    finally:
        virtual_microphone.mend()
        playing.kill()
        playing.wait()


def test_without_sound_hardware_it_says_so(tmp_path: Path) -> None:
    nowhere = {
        "HOME": str(tmp_path),
        "XDG_RUNTIME_DIR": str(tmp_path),
        "PULSE_SERVER": "unix:/nonexistent",
        "PATH": "/usr/bin:/bin",
    }
    if edgeser("devices", "--json", env=nowhere).out.strip() != "[]":
        pytest.skip("this machine has real sound hardware")
    assert "No microphone found" in edgeser("devices", env=nowhere).out
    refusal = edgeser("run", "--source", "mic", env=nowhere).refusal
    assert "microphone" in refusal


def test_a_sound_server_frozen_in_mid_sentence_costs_no_final(
    virtual_microphone: VirtualMicrophone, tmp_path: Path
) -> None:
    file = tmp_path / "monologue.wav"
    soundfile.write(file, np.concatenate((silence(0.5), monologue(30))), 16_000)
    with running("--source", "mic", env=virtual_microphone.environment) as daemon:
        daemon.wait_for("any(s.state == 'listening' for s in self.statuses)")
        player = virtual_microphone.start_playing(file)
        daemon.wait_for("self.emotions")
        virtual_microphone.freeze()
        daemon.wait_for("self.finals")  # it stays frozen: only the loss can end the segment
        daemon.wait_for("any(f.code == 'audio_lost' for f in self.faults)")
        assert daemon.speech[-1].state == "end"
        segments = [final.segment for final in daemon.finals]
        virtual_microphone.thaw()
        player.terminate()
        daemon.wait_for("any(f.code == 'audio_restored' for f in self.faults)")
        daemon.signal(signal.SIGTERM)
        assert daemon.wait() == 0
    told = [final.segment for final in daemon.finals]
    assert told[: len(segments)] == segments
    assert len(set(told)) == len(told)
    status = daemon.statuses[-1]
    heard_and_lost = status.counters.samples + status.counters.lost_samples
    assert heard_and_lost == pytest.approx(status.position_s * 16_000, abs=320)
