"""The whole daemon as a process: real files, sockets, signals and a real subscriber."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import time
from contextlib import AbstractContextManager
from itertools import pairwise
from pathlib import Path
from statistics import median

import msgspec
import numpy as np
import pytest
import soundfile

from edgeser import Recognizer
from edgeser.events.wire.lock import holder_pid
from edgeser.pcm import Samples
from edgeser.settings.schema import Settings, SpeechSettings
from tests.events.helpers import until
from tests.ports import free_port
from tests.sounds import SPEECH_FILE, SPEECH_SEGMENTS, corpus, monologue, noise, silence, speech
from tests.system.daemons import EDGESER, Daemon, Finished, edgeser, running


def predicted(*arguments: str | Path) -> list[dict[str, object]]:
    done = edgeser("predict", "--json", *map(str, arguments))
    assert done.code == 0, done.err
    return [json.loads(line)["event"] for line in done.out.splitlines()]


def saw(seconds: float) -> Samples:
    """Noise that swells and fades: WebRTC VAD takes it for speech."""
    n = round(seconds * 16_000)
    swell = np.abs(np.sin(np.arange(n) / 4000))
    return np.asarray(np.random.default_rng(4).standard_normal(n) * 3000 * swell, np.int16)


@pytest.mark.parametrize("confirm", [True, False])
def test_run_predict_and_recognizer_agree(confirm: bool, tmp_path: Path) -> None:
    sound = np.concatenate((noise(1), saw(3), noise(1.5), speech(), saw(2), noise(1)))
    file, settings = tmp_path / "sound.wav", tmp_path / "edgeser.toml"
    soundfile.write(file, sound, 16_000)
    settings.write_text(f"[speech]\nconfirm = {str(confirm).lower()}\n")
    with running("--settings", str(settings), "--source", str(file), "--fast", "--once") as daemon:
        assert daemon.wait() == 0
    with running(
        "--settings", str(settings), "--source", "-", "--once", stdin=subprocess.PIPE
    ) as piped:
        assert piped.process.stdin is not None
        for block in np.split(sound, range(777, len(sound), 7777)):
            piped.process.stdin.write(block.tobytes())
            piped.process.stdin.flush()
        piped.process.stdin.close()
        assert piped.wait() == 0

    chosen = Settings(speech=SpeechSettings(confirm=confirm))
    recognised = [msgspec.to_builtins(e) for e in Recognizer(settings=chosen).samples(sound)]
    expected = predicted("--settings", settings, file)
    noises = 0 if confirm else 2
    assert len(expected) == SPEECH_SEGMENTS + noises
    for found in (recognised, *(map(msgspec.to_builtins, d.finals) for d in (daemon, piped))):
        for event, other in zip(found, expected, strict=True):
            # Where it is, and how it sounds, to the bit; the network rounds by what is in its batch
            # and features by where a block ends.
            for key in ("segment", "start", "end", "continued", "quality", "label"):
                assert event[key] == other[key]
            assert event["scores"] == pytest.approx(other["scores"], abs=1e-3)
    for heard in (daemon, piped):
        told = [(e.start, e.end, e.reason) for e in heard.speech if e.state == "end"]
        assert [reason for *_, reason in told if reason] == ["not_speech"] * (2 - noises)
        assert len(told) == SPEECH_SEGMENTS + 2
    assert [e.end for e in daemon.speech] == [e.end for e in piped.speech]


def test_a_file_in_real_time_gives_what_it_gives_fast() -> None:
    arguments = ("--source", str(SPEECH_FILE), "--once")
    with running(*arguments, "--fast") as fast:
        assert fast.wait() == 0
    begun = time.monotonic()
    with running(*arguments) as paced:
        assert paced.wait() == 0
    assert time.monotonic() - begun > soundfile.info(SPEECH_FILE).duration
    assert [(e.start, e.end, e.label) for e in paced.finals] == [
        (e.start, e.end, e.label) for e in fast.finals
    ]
    assert all(event.latency_ms.total < 60_000 for event in paced.emotions)


def test_events_are_complete_and_numbered_without_holes() -> None:
    with running("--source", str(SPEECH_FILE), "--fast", "--once") as daemon:
        assert daemon.wait() == 0
    assert not daemon.gaps
    assert len({event.epoch for event in daemon.events}) == 1
    for kind in (daemon.emotions, daemon.speech):
        assert [event.seq for event in kind] == list(range(1, len(kind) + 1))
    assert [s.state for s in daemon.speech] == ["start", "end"] * SPEECH_SEGMENTS
    partials = [e for e in daemon.emotions if e.kind == "partial"]
    assert len(partials) >= 2 * SPEECH_SEGMENTS
    explained = []
    for event in daemon.emotions:
        stages = event.latency_ms
        summed = (
            stages.capture
            + stages.segment
            + stages.features
            + stages.queue
            + stages.inference
            + stages.publish
        )
        assert stages.inference > 0
        assert summed <= stages.total + 1  # two clocks, and rounding
        explained.append(summed / stages.total)
        assert event.lost.windows == 0
    # The total is measured on its own: on a busy machine a thread may rest between two stages.
    assert median(explained) > 0.8
    final = daemon.statuses[-1]
    assert final.state == "stopping"
    assert final.counters.finals == SPEECH_SEGMENTS
    assert final.counters.segments == SPEECH_SEGMENTS
    assert final.counters.partials == len(partials)
    assert final.counters.samples == soundfile.info(SPEECH_FILE).frames


def test_standard_input_gives_what_the_file_gives() -> None:
    samples = speech()
    with running("--source", "-", "--once", stdin=subprocess.PIPE) as daemon:
        assert daemon.process.stdin is not None
        daemon.process.stdin.write(samples.astype("<i2").tobytes())
        daemon.process.stdin.close()
        assert daemon.wait() == 0
    expected = predicted(SPEECH_FILE)
    assert [(e.start, e.end) for e in daemon.finals] == [(e["start"], e["end"]) for e in expected]
    assert all(event.stream == "stdin" for event in daemon.events)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_in_mid_speech_publishes_the_final(tmp_path: Path, number: signal.Signals) -> None:
    file = tmp_path / "monologue.flac"
    soundfile.write(file, monologue(20), 16_000)
    with running("--source", str(file)) as daemon:
        daemon.wait_for("len(self.emotions) >= 2")
        assert not daemon.finals
        daemon.signal(number)
        assert daemon.wait() == 0
    (final,) = daemon.finals
    assert final.end > 1
    assert daemon.speech[-1].state == "end"
    assert daemon.statuses[-1].state == "stopping"


def test_status_says_listening_speech_and_no_audio() -> None:
    with running("--source", "-", stdin=subprocess.PIPE) as daemon:
        daemon.wait_for("any(s.state == 'starting' for s in self.statuses)")
        daemon.wait_for("any(s.state == 'no_audio' for s in self.statuses)")
        with daemon.hearing(silence(1)):
            daemon.wait_for("self.state == 'listening'")
        with daemon.hearing(monologue(2)):
            daemon.wait_for("self.state == 'speech'")
        daemon.wait_for("self.state == 'no_audio'")
        daemon.signal(signal.SIGTERM)
        assert daemon.wait() == 0
    assert daemon.finals


def test_a_second_daemon_on_the_same_endpoint_is_refused() -> None:
    with running("--source", "-", stdin=subprocess.PIPE) as daemon:
        daemon.wait_for("self.statuses")
        second = edgeser("run", "--source", str(SPEECH_FILE), "--once", "--bind", daemon.endpoint)
        assert f"already in use by pid {daemon.process.pid}" in second.refusal
        assert daemon.process.poll() is None


def test_a_killed_daemon_leaves_its_endpoint_usable(tmp_path: Path) -> None:
    endpoint = f"ipc://{tmp_path}/events.sock"
    command = [*EDGESER, "run", "--source", "-", "--bind", endpoint]
    first = subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.DEVNULL)
    until((tmp_path / "events.sock").exists)
    first.kill()
    first.wait()
    done = edgeser("run", "--source", str(SPEECH_FILE), "--fast", "--once", "--bind", endpoint)
    assert done.code == 0, done.err


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--source", "no-such-file.wav"], "no-such-file.wav"),
        (["--source", str(SPEECH_FILE), "--model", "nonsense"], "model 'nonsense'"),
        (["--source", str(SPEECH_FILE), "--model", __file__], "cannot load it"),
        (["--source", str(SPEECH_FILE), "--backend", "magic"], "model.backend: expected one of"),
        (["--source", str(SPEECH_FILE), "--settings", "none.toml"], "none.toml"),
        (["--source", str(SPEECH_FILE), "--bind", "tcp://0.0.0.0:7788"], "CURVE"),
        (["--source", str(SPEECH_FILE), "--bind", "http://x"], "http://x"),
        (["--source", "mic", "--fast"], "--fast"),
        (["--source", "-", "--fast"], "--fast: standard input"),
        (["--source", str(SPEECH_FILE), "--device", "USB"], "audio.device"),
    ],
)
def test_what_a_user_gets_wrong_is_one_line(arguments: list[str], complaint: str) -> None:
    assert complaint in edgeser("run", *arguments).refusal


def test_a_wrong_settings_file_is_named_with_its_key(tmp_path: Path) -> None:
    file = tmp_path / "edgeser.toml"
    file.write_text("[speech]\nmin_seconds = -3\n")
    refusal = edgeser("run", "--settings", str(file)).refusal
    assert f"{file}: speech.min_seconds: expected float >= 0.0, got -3" in refusal


def recognised(file: Path) -> Finished:
    return edgeser("run", "--source", str(file), "--fast", "--once", "--bind", f"ipc://{file}.s")


def test_strange_files_give_the_right_result_or_one_line(tmp_path: Path) -> None:
    samples = speech()
    scaled = samples / 32768
    expected = predicted(SPEECH_FILE)

    wide = np.repeat(samples, 6)
    six = np.tile(scaled[:, None], (1, 6))
    good = {
        "eight-bit.wav": (scaled, 16_000, "PCM_U8"),
        "96k.wav": (wide, 96_000, "PCM_16"),
        "surround.wav": (six, 16_000, "PCM_24"),
        "float.wav": (scaled, 16_000, "FLOAT"),
    }
    for name, (data, rate, subtype) in good.items():
        soundfile.write(tmp_path / name, data, rate, subtype)
        found = predicted(tmp_path / name)
        assert len(found) == len(expected), name
        for event, other in zip(found, expected, strict=True):
            assert event["start"] == pytest.approx(other["start"], abs=0.2), name
            assert event["end"] == pytest.approx(other["end"], abs=0.2), name

    (tmp_path / "empty.wav").write_bytes(b"")
    (tmp_path / "text.wav").write_text("no sound")
    soundfile.write(tmp_path / "nothing.wav", samples[:0], 16_000)
    for name in ("empty.wav", "text.wav", "nothing.wav"):
        assert name in edgeser("predict", str(tmp_path / name)).refusal
        assert name in recognised(tmp_path / name).refusal

    holes = scaled.copy()
    holes[50_000:50_010] = np.nan
    soundfile.write(tmp_path / "nan.wav", holes, 16_000, "FLOAT")
    assert len(predicted(tmp_path / "nan.wav")) == len(expected)

    whole = SPEECH_FILE.read_bytes()
    (tmp_path / "half.flac").write_bytes(whole[: len(whole) // 2])
    done = edgeser("predict", "--json", str(tmp_path / "half.flac"))
    assert done.code == 2
    assert "half.flac" in done.err
    assert "Traceback" not in done.err
    assert len(done.out.splitlines()) >= 2


def test_the_rest_is_recognised_when_one_file_is_bad(tmp_path: Path) -> None:
    (tmp_path / "text.wav").write_text("no sound")
    done = edgeser("predict", "--json", str(tmp_path / "text.wav"), str(SPEECH_FILE))
    assert done.code == 2
    assert len(done.out.splitlines()) == SPEECH_SEGMENTS


def test_sequence_numbers_of_speech_and_time_agree_with_the_positions() -> None:
    with running("--source", str(SPEECH_FILE), "--fast", "--once") as daemon:
        daemon.wait()
    for first, second in pairwise(daemon.finals):
        assert first.end <= second.start
        assert first.segment + 1 == second.segment


def test_every_utterance_of_the_corpus_has_a_final() -> None:
    folder = corpus("emodb")
    if folder is None:
        pytest.skip("no emodb: set EDGESER_DATA to the folder of the corpora")
    files = sorted(folder.glob("*.flac"))[::17]
    done = edgeser("predict", "--json", *map(str, files), timeout_s=300)
    assert done.code == 0
    assert {json.loads(line)["file"] for line in done.out.splitlines()} == set(map(str, files))


def test_network_microphones_are_heard_as_the_file_that_they_send(tmp_path: Path) -> None:
    tokens = tmp_path / "tokens"
    tokens.write_text("kitchen 0123456789abcdef\nhall fedcba9876543210\n")
    tokens.chmod(0o600)
    port = free_port()
    settings = tmp_path / "edgeser.toml"
    settings.write_text(
        f'[audio]\nsource = "tcp://127.0.0.1:{port}"\ntokens = "{tokens}"\nstall_seconds = 30'
    )
    with running("--settings", str(settings)) as daemon:
        daemon.wait_for("self.statuses")
        with socket.create_connection(("127.0.0.1", port), 60) as hall:
            hall.sendall(b"fedcba9876543210\n" + speech().tobytes())
            daemon.wait_for(f"len(self.finals) == {SPEECH_SEGMENTS}", 120)
        daemon.wait_for("any('closed' in fault.message for fault in self.faults)")
        daemon.signal(signal.SIGTERM)
        assert daemon.wait() == 0
    for event, expected in zip(daemon.finals, predicted(SPEECH_FILE), strict=True):
        assert event.stream == "hall"
        assert (event.start, event.end) == (expected["start"], expected["end"])
        assert event.label == expected["label"]
    (lost,) = [f for f in daemon.faults if (f.stream, f.code) == ("hall", "audio_lost")]
    assert lost.message == "network microphone 'hall' (127.0.0.1): closed the connection"


def test_a_voice_is_free_for_another_daemon_when_the_one_that_kept_it_is_killed(
    tmp_path: Path,
) -> None:
    def hearing() -> AbstractContextManager[Daemon]:
        """A daemon with a microphone that nobody connects to."""
        env = {"EDGESER_BASELINE_PATH": str(tmp_path)}
        return running("--source", f"tcp://127.0.0.1:{free_port()}", env=env)

    with hearing() as first:
        first.wait_for("self.statuses")
        (lock,) = tmp_path.glob("*.lock")
        with hearing() as second:
            second.wait_for("self.statuses")
            assert f"is kept by pid {first.process.pid}" in second.log.read_text()
            first.signal(signal.SIGKILL)
            first.process.wait()
            until(lambda: holder_pid(lock) == second.process.pid)
            second.signal(signal.SIGTERM)
            assert second.wait() == 0
    assert list(tmp_path.iterdir()) == []
