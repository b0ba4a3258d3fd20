"""SIGHUP: new settings in a running daemon, without losing the open segment."""

from __future__ import annotations

import signal
import subprocess
import time
from pathlib import Path

import soundfile

from edgeser.doctor.installation import examine
from edgeser.settings.schema import EventSettings, Settings
from tests.sounds import SPEECH_FILE, monologue, silence, speech
from tests.system.daemons import edgeser, running


def test_new_settings_take_effect_behind_the_open_segment(tmp_path: Path) -> None:
    file = tmp_path / "edgeser.toml"
    file.write_text("[decision]\nabstain_below = 0.0\n")
    with running("--settings", str(file), "--source", "-", stdin=subprocess.PIPE) as daemon:
        pipe = daemon.process.stdin
        assert pipe is not None
        pipe.write(monologue(2).tobytes())
        pipe.flush()
        daemon.wait_for("self.emotions")
        file.write_text("[decision]\nabstain_below = 0.999\n")
        daemon.signal(signal.SIGHUP)
        daemon.wait_for("len(self.statuses) > 2")
        pipe.write(monologue(2).tobytes() + silence(1).tobytes())
        pipe.flush()
        daemon.wait_for("len(self.finals) == 1")
        first = daemon.finals[0]
        assert first.end - first.start > 3
        assert first.label != "unknown"
        pipe.write(monologue(2).tobytes() + silence(1).tobytes())
        pipe.close()
        daemon.wait_for("len(self.finals) == 2")
        second = daemon.finals[1]
        daemon.signal(signal.SIGTERM)
        assert daemon.wait() == 0
    assert second.label == "unknown"
    assert second.segment == first.segment + 1
    assert second.start >= first.end
    assert not daemon.faults
    assert not daemon.gaps


def test_wrong_settings_are_refused_and_the_old_ones_stay(tmp_path: Path) -> None:
    file = tmp_path / "edgeser.toml"
    file.write_text("")
    with running("--settings", str(file), "--source", "-", stdin=subprocess.PIPE) as daemon:
        daemon.wait_for("self.statuses")
        file.write_text("[speech]\nhop_seconds = -1\n")
        daemon.signal(signal.SIGHUP)
        daemon.wait_for("self.faults")
        (fault,) = daemon.faults
        assert fault.code == "settings_rejected"
        assert "speech.hop_seconds: expected float >= 0.1, got -1" in fault.message
        assert "WARNING settings_rejected: " in daemon.log.read_text()
        daemon.wait_for("self.statuses[-1].counters.faults")
        events = EventSettings(bind=(daemon.endpoint,))
        [finding] = examine(Settings(events=events), only=["endpoints"])
        assert ", 1 fault), 'edgeser events --topic fault' lists the faults" in finding.found
        file.write_text('[audio]\nstall_seconds = 3\n[model]\nname = "lightweight-emodb"\n')
        daemon.signal(signal.SIGHUP)
        daemon.wait_for("len(self.faults) == 2")
        assert daemon.process.poll() is None
        daemon.signal(signal.SIGTERM)
        assert daemon.wait() == 0


def test_several_sources_each_have_their_stream(tmp_path: Path) -> None:
    short = tmp_path / "short.wav"
    soundfile.write(short, speech()[: 8 * 16_000], 16_000)
    file = tmp_path / "edgeser.toml"
    file.write_text(
        f'[[source]]\nsource = "{SPEECH_FILE}"\nstream = "left"\n'
        f'[[source]]\nsource = "{short}"\nstream = "right"\n'
        f'[[source]]\nsource = "{SPEECH_FILE}"\nstream = "third"\n'
    )
    with running("--settings", str(file), "--fast", "--once") as daemon:
        assert daemon.wait() == 0
    by_stream = {
        name: [e for e in daemon.finals if e.stream == name] for name in ("left", "right", "third")
    }
    assert [len(events) for events in by_stream.values()] == [5, 2, 5]
    for left, third in zip(by_stream["left"], by_stream["third"], strict=True):
        assert (left.start, left.end) == (third.start, third.end)
        assert all(abs(left.scores[k] - third.scores[k]) < 1e-3 for k in left.scores)
    for events in by_stream.values():
        assert [e.segment for e in events] == list(range(1, len(events) + 1))
    assert {s.stream for s in daemon.statuses} == set(by_stream)


def test_two_sources_of_one_name_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "edgeser.toml"
    file.write_text(f'[[source]]\nsource = "{SPEECH_FILE}"\n' * 2)
    assert "called 'file'" in edgeser("run", "--settings", str(file)).refusal


def test_whatever_goes_wrong_in_a_reload_leaves_the_daemon_running(tmp_path: Path) -> None:
    file = tmp_path / "edgeser.toml"
    file.write_text("")
    with running("--settings", str(file), "--source", "-", stdin=subprocess.PIPE) as daemon:
        daemon.wait_for("self.statuses")
        file.write_text(f'[model]\nname = "{"x" * 5000}"\n')  # too long for any file system
        daemon.signal(signal.SIGHUP)
        daemon.wait_for("self.faults")
        (fault,) = daemon.faults
        assert fault.code == "settings_rejected"
        assert fault.message.startswith("the old settings stay: ")
        assert "\n" not in fault.message
        assert daemon.process.stdin is not None
        daemon.process.stdin.write(monologue(2).tobytes())
        daemon.process.stdin.close()
        daemon.wait_for("self.finals")
        daemon.signal(signal.SIGTERM)
        assert daemon.wait() == 0


def test_a_storm_of_signals_is_survived(tmp_path: Path) -> None:
    file = tmp_path / "edgeser.toml"
    file.write_text("")
    with running("--settings", str(file), "--source", "-", stdin=subprocess.PIPE) as daemon:
        pipe = daemon.process.stdin
        assert pipe is not None
        pipe.write(monologue(2).tobytes())
        pipe.flush()
        daemon.wait_for("self.emotions")
        for _ in range(10_000):
            daemon.signal(signal.SIGHUP)
            time.sleep(1e-4)
        file.write_text("[decision]\nabstain_below = -1\n")
        daemon.signal(signal.SIGHUP)
        daemon.wait_for("self.faults")
        assert not daemon.finals
        daemon.signal(signal.SIGTERM)
        assert daemon.wait() == 0
    assert len(daemon.finals) == 1
    assert daemon.statuses[-1].state == "stopping"
