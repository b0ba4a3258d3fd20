"""The command that breaks the sound under a running daemon."""

from __future__ import annotations

import sys

import msgspec
import pytest

from tests.trials import break_audio
from tests.trials.break_audio import Break, Report
from tests.virtual_microphone import why_unavailable

SOUND = Report(
    breaks=[Break("server killed", 0.1, 1.0, ["audio_lost", "audio_restored"], 1)],
    epochs=1,
    restarts=1,
    samples=150_000,
    lost_samples=10_000,
    position_s=10.0,
    lasted_s=10.1,
)


def test_a_break_is_survived(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    if reason := why_unavailable():
        pytest.skip(reason)
    monkeypatch.setattr(sys, "argv", ["break_audio", "--times", "1", "--settle", "0"])
    assert break_audio.main(), capsys.readouterr().out
    assert "server frozen: 1 times; lost after" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"samples": 150_400}, "do not make up"),
        ({"epochs": 2}, "started 2 times"),
        ({"lasted_s": 12.0}, "of stream in 12.0 s of time"),
        ({"breaks": [Break("x", 0, 0, ["audio_restored", "audio_lost"], 1)]}, "break 1 (x)"),
        ({"breaks": [Break("x", 0, 0, ["audio_lost", "audio_restored"], 2)]}, "2 finals"),
    ],
)
def test_what_is_wrong_is_said(change: dict[str, object], complaint: str) -> None:
    assert SOUND.complaints() == []
    (found,) = msgspec.structs.replace(SOUND, **change).complaints()
    assert complaint in found
