"""``edgeser bench soak``: nothing is lost, nothing drifts."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

from edgeser.bench import SPEECH_FILE
from edgeser.bench.sound import samples_of
from edgeser.recognizer import Recognizer
from tests.bench.reports import named
from tests.sounds import silence
from tests.system.daemons import edgeser


def test_soak_loses_nothing_and_does_not_drift(tmp_path: Path) -> None:
    file = tmp_path / "soak.json"
    done = edgeser("bench", "soak", "--hours", "0.05", "--model", "streaming6", "--json", str(file))
    assert done.code == 0, done.out + done.err
    report = json.loads(file.read_text())
    assert named(report, "soak")
    assert report["finals"] == report["segments"] >= 20
    assert report["lost_finals"] == report["gaps"] == report["drift_samples"] == 0
    assert report["rss_growth_mb_per_day"] is None
    assert "too short for a trend: it takes 6 h of sound" in done.out
    assert report["last_sample"] == pytest.approx(0.05 * 3600 * 16_000, rel=0.3)


def coughing(folder: Path) -> Path:
    """Speech, and behind it a sound too short for a final."""
    speech = samples_of(SPEECH_FILE)
    begin = round(next(Recognizer().samples(speech)).start * 16_000) + 6200
    cough = speech[begin : begin + 2560]
    file = folder / "cough.wav"
    sound = np.concatenate((speech, silence(2), cough, silence(2)))
    soundfile.write(file, sound, 16_000)
    return file


def test_soak_misses_no_final_of_a_cough(tmp_path: Path) -> None:
    speech, file = coughing(tmp_path), tmp_path / "soak.json"
    done = edgeser(
        *("bench", "soak", "--hours", "0.02", "--speech", str(speech), "--json", str(file))
    )
    assert done.code == 0, done.out + done.err
    report = json.loads(file.read_text())
    assert report["finals"] == report["segments"]
    assert report["lost_finals"] == 0
