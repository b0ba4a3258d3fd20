"""A network of streams from training to the daemon, one command after the other."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest
from click.testing import CliRunner

from edgeser.cli import main
from edgeser.events.schema import EmotionEvent
from edgeser.recognizer import Recognizer
from tests.sounds import SPEECH_FILE, monologue, silence
from tests.system.daemons import running
from tests.train.synthetic import make_manifest

TINY = ("blocks=1", "channels=8", "entry_channels=4", "hidden=8", "head=8")


def done(*words: str | Path) -> str:
    result = CliRunner().invoke(main, [str(word) for word in words], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Holds ``model.onnx``, trained for two epochs."""
    folder = tmp_path_factory.mktemp("streaming")
    corpus = f"manifest={make_manifest(folder)}"
    sets = [f"model.{field}" for field in TINY] + ["epochs=2", "variants=1", "batch=4"]
    options = [word for field in sets for word in ("--set", field)]
    run, cache = folder / "run", folder / "cache"
    done("train", "--model", "streaming", "--corpus", corpus, *options, "--cache", cache, "-o", run)
    done("export", run / "model.pt", "-o", folder / "model.onnx")
    done("export", run / "model.pt", "--check", folder / "model.onnx", "--sounds", SPEECH_FILE)
    done("export", run / "model.pt", "--waveform", "-o", folder / "from-sound.onnx")
    return folder


def said(events: Sequence[EmotionEvent]) -> list[tuple[object, ...]]:
    return [(e.start, e.end, e.label, e.scores, e.baseline_s) for e in events]


def test_the_daemon_and_the_library_agree_to_the_bit(folder: Path) -> None:
    file = str(folder / "model.onnx")
    with running("--source", str(SPEECH_FILE), "--fast", "--once", "--model", file) as daemon:
        assert daemon.wait() == 0
    assert len(daemon.finals) >= 3
    assert said(daemon.finals) == said(list(Recognizer(file).file(SPEECH_FILE)))
    assert any(event.kind == "partial" for event in daemon.emotions)


def test_a_reload_goes_from_streams_to_windows_and_back_without_losing_a_final(
    folder: Path, tmp_path: Path
) -> None:
    settings = tmp_path / "edgeser.toml"
    names = [str(folder / "model.onnx"), "lightweight-emodb", str(folder / "model.onnx")]

    def name(model: str) -> None:
        settings.write_text(f'[speech]\nconfirm = false\n[model]\nname = "{model}"\n')

    name(names[0])
    with running("--settings", str(settings), "--source", "-", stdin=subprocess.PIPE) as daemon:
        pipe = daemon.process.stdin
        assert pipe is not None
        for number, following in enumerate([*names[1:], None], start=1):
            pipe.write(monologue(2).tobytes())
            pipe.flush()
            daemon.wait_for(f"any(e.segment == {number} for e in self.emotions)")
            if following is not None:  # a segment is open
                name(following)
                statuses = len(daemon.statuses)
                daemon.signal(signal.SIGHUP)
                daemon.wait_for(f"len(self.statuses) > {statuses + 1}")
            pipe.write(monologue(2).tobytes() + silence(1).tobytes())
            pipe.flush()
            daemon.wait_for(f"len(self.finals) == {number}")
        pipe.close()
        daemon.signal(signal.SIGTERM)
        assert daemon.wait() == 0
    told = [event.model.name for event in daemon.finals]
    assert told == ["model", "lightweight-emodb", "model"]
    assert all(event.end - event.start > 3 for event in daemon.finals)
    assert not daemon.faults
    assert not daemon.gaps


def test_other_precisions_are_refused_in_one_line(folder: Path) -> None:
    words = ["export", folder / "run" / "model.pt", "--precision", "fp16", "-o", folder / "no.onnx"]
    result = CliRunner().invoke(main, [str(word) for word in words])
    assert result.exit_code == 2
    assert "fp32 alone" in result.output
    assert not (folder / "no.onnx").exists()
