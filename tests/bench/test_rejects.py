"""What is no speech is counted by class, and what speech is kept under which noise."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
import soundfile

from edgeser.bench import SPEECH_FILE
from edgeser.bench.folder import drawn, noise_classes, with_name
from edgeser.bench.mix import mixed, quietest, room
from edgeser.bench.rejects import _covered, _loud
from edgeser.errors import UserError
from edgeser.pcm import SAMPLE_RATE
from tests.system.daemons import edgeser

NOISE_S = 3


@pytest.fixture
def noise(tmp_path: Path) -> Path:
    folder = tmp_path / "noise"
    rng = np.random.default_rng(4)
    swell = np.abs(np.sin(np.arange(NOISE_S * SAMPLE_RATE) / 4000))
    for name in ("wind", "sea"):
        (folder / name).mkdir(parents=True)
        sound = rng.standard_normal(NOISE_S * SAMPLE_RATE) * swell * 3000
        soundfile.write(folder / name / "1.wav", sound.astype(np.int16), SAMPLE_RATE)
    return folder


def test_noise_by_class_and_speech_by_condition(noise: Path, tmp_path: Path) -> None:
    voice, other = tmp_path / "voice", tmp_path / "other" / "voice"
    speech, _ = soundfile.read(SPEECH_FILE, dtype="int16")
    for talking in (voice, other):
        talking.mkdir(parents=True)
        soundfile.write(talking / "talk.wav", speech[: 3 * SAMPLE_RATE], SAMPLE_RATE)
    saved = tmp_path / "report.json"
    done = edgeser(
        *("bench", "rejects", str(noise), "--json", str(saved)),
        *("--speech", str(voice), "--speech", str(other)),
        timeout_s=600,
    )
    assert done.code == 0, done.err
    report = json.loads(saved.read_text())
    assert [row["name"] for row in report["noise"]] == ["sea", "wind"]
    for row in report["noise"]:
        assert row["seconds"] == NOISE_S
        assert row["finals"] == 0
        assert row["said"] == {}
        assert row["confidence"] is None
    conditions = {row["condition"]: row for row in report["speech"][str(voice)]}
    assert len(conditions) == 1 + 3 * 4
    clean = conditions["clean"]
    assert clean["kept"] == clean["plain_kept"] == clean["utterances"] == 1
    assert clean["start_s"] == clean["end_s"] == [0, 0, 0]
    assert set(report["speech"]) == set(report["cost"]) == {str(voice), str(other)}
    assert report["cost"][str(voice)]["confirmed_ms_per_s"] > 0
    assert report["format"] == "edgeser-rejects-1"
    assert report["folder"] == str(noise)
    assert report["model"]["name"] == "streaming6"
    assert report["settings"]["speech"]["confirm"] is True
    assert report["machine"]["cores"] >= 1
    assert {"command", "date", "backend", "warning"} <= set(report)
    assert "finals an hour" in done.out
    assert "pink noise, 5 dB" in done.out


def test_a_folder_without_sounds_is_named(tmp_path: Path) -> None:
    done = edgeser("bench", "rejects", str(tmp_path), timeout_s=300)
    assert "no sound files in it" in done.refusal


def test_names_that_no_file_has_are_said_before_the_run(noise: Path) -> None:
    words = ("bench", "rejects", str(noise))
    done = edgeser(*words, "--speech", str(noise), "--files-named", "zzz")
    assert f"{noise}: no utterance's name has 'zzz' in it" in done.refusal
    done = edgeser(*words, "--sounds-named", "zzz")
    assert f"{noise}: no sound's name has 'zzz' in it" in done.refusal
    assert done.out == ""


def test_sounds_without_a_class_are_one(noise: Path) -> None:
    assert list(noise_classes(noise)) == ["sea", "wind"]
    assert list(noise_classes(noise / "sea")) == ["sea"]
    with pytest.raises(UserError, match="nowhere: No such file"):
        noise_classes(noise / "nowhere")


def test_a_class_whose_name_is_not_utf8_can_be_reported(tmp_path: Path) -> None:
    folder = tmp_path / os.fsdecode(b"caf\xe9")
    folder.mkdir()
    (folder / "1.wav").touch()
    assert list(noise_classes(folder)) == list(noise_classes(tmp_path)) == ["caf\\xe9"]


def test_a_final_is_kept_when_half_of_it_is_covered() -> None:
    assert _covered((100, 200), [(120, 180)]) == (120, 180)
    assert _covered((100, 200), [(90, 130), (160, 240)]) == (90, 240)
    assert _covered((100, 200), [(0, 149)]) is None
    assert _covered((100, 200), []) is None


def test_noise_is_mixed_at_the_ratio_to_the_speech() -> None:
    rng = np.random.default_rng(5)
    sound = np.zeros(32_000, np.int16)
    sound[8000:16_000] = rng.standard_normal(8000) * 2000
    hiss = rng.standard_normal(32_000)
    added = mixed(sound, [(8000, 16_000)], hiss, 10).astype(float) - sound
    assert 10 * np.log10(2000**2 / np.mean(added**2)) == pytest.approx(10, abs=0.3)


def test_the_quietest_moment_of_a_recording_is_the_room_it_was_made_in() -> None:
    sound = np.concatenate((room(0.5, 900.0), room(0.5, 100.0), room(0.5, 900.0)))
    assert np.sqrt(np.mean(quietest(sound).astype(float) ** 2)) == pytest.approx(100, rel=0.2)
    assert len(quietest(sound[:77])) == 77


def test_a_seed_draws_the_same_files_again() -> None:
    files = [Path(f"{i}.wav") for i in range(100)]
    chosen = drawn(files, 10, seed=3)
    assert chosen == drawn(files, 10, seed=3) == sorted(chosen, key=files.index)
    assert chosen != drawn(files, 10, seed=4)
    assert drawn(files, 1000, seed=3) == files


def test_names_choose_a_half_of_a_folder() -> None:
    files = [Path(f"{fold}-dog.wav") for fold in range(1, 6)]
    assert with_name(files, "^[45]-") == files[3:]
    assert with_name(files, "") == files
    with pytest.raises(UserError, match="is not a regular expression"):
        with_name(files, "[")


def test_a_breath_before_a_sentence_is_not_asked_for() -> None:
    sound = np.concatenate((room(1, 50.0), room(1, 2000.0), room(1, 900.0)))
    finals = [(0, 16_000), (16_000, 32_000), (32_000, 48_000)]
    assert _loud(finals, sound) == finals[1:]
    assert _loud([], sound) == []
