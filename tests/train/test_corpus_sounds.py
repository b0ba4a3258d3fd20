"""The sound of a corpus on disk."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

from edgeser.errors import UserError
from edgeser_train.corpora import Corpus, Utterance
from edgeser_train.sound.sounds import load_sounds
from tests.command_line import edgeser
from tests.train.synthetic import make_manifest, tiny_settings


@pytest.fixture
def corpus(tmp_path: Path) -> Corpus:
    """Twelve utterances of different length, some resampled, some trimmed."""
    rng = np.random.default_rng(0)
    utterances = []
    for i in range(12):
        path = tmp_path / f"{i}.flac"
        sound = rng.uniform(-0.5, 0.5, 1000 * (i + 1))
        soundfile.write(path, sound, 16_000 if i % 2 else 22_050)
        utterances.append(Utterance(f"{i}", path, "01", "sad", trim=i % 3 == 0))
    return Corpus("small", "CC0-1.0", ("sad",), tuple(utterances))


def test_what_is_kept_is_what_is_read(corpus: Corpus, tmp_path: Path) -> None:
    sounds = load_sounds(corpus, tmp_path / "cache")
    assert len(sounds) == 12
    for i, utterance in enumerate(corpus.utterances):
        assert sounds.of(i).dtype == np.int16
        assert np.array_equal(sounds.of(i), utterance.samples())
    sounds.of(3)[:] = 0
    assert np.array_equal(sounds.of(3), corpus.utterances[3].samples())


def test_files_are_decoded_once(
    corpus: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = load_sounds(corpus, tmp_path / "cache")
    with monkeypatch.context() as patch:
        patch.setattr(Utterance, "samples", None)
        again = load_sounds(corpus, tmp_path / "cache")
    assert np.array_equal(first.samples, again.samples)
    assert [p.name[:7] for p in (tmp_path / "cache").iterdir()] == ["sounds-"]


def test_a_changed_file_is_read_again(corpus: Corpus, tmp_path: Path) -> None:
    load_sounds(corpus, tmp_path / "cache")
    soundfile.write(corpus.utterances[1].path, np.zeros(3000), 16_000)
    assert not load_sounds(corpus, tmp_path / "cache").of(1).any()


def test_silent_recordings_are_told_and_used(tmp_path: Path) -> None:
    mine = make_manifest(tmp_path / "mine")
    words = ["--corpus", f"manifest={mine}", "--cache", tmp_path / "cache", *tiny_settings()]
    words += ["--set", "batch=4", "--set", "epochs=1", "-o"]
    assert "are silent" not in edgeser("train", *words, tmp_path / "none").output
    dither = np.random.default_rng(0).integers(-1, 2, 8000).astype(np.int16)
    for name, samples in (("3.wav", dither), ("7.wav", np.zeros(8000, np.int16))):
        soundfile.write(mine.parent / name, samples, 16_000)
    for command in (["train"], ["evaluate", "--folds", "a"]):  # the second finds sound and frames
        done = edgeser(*command, *words, tmp_path / command[0])
        assert done.exit_code == 0, done.output
        told = f"mine: 2 of 16 recordings are silent, and used all the same; the first is {mine}"
        assert told.replace("mine.csv", "3.wav\n") in done.output


def test_a_file_that_cannot_be_read_is_named_and_leaves_nothing(
    corpus: Corpus, tmp_path: Path
) -> None:
    corpus.utterances[7].path.write_text("no sound")
    with pytest.raises(UserError, match=r"7\.flac: cannot be read"):
        load_sounds(corpus, tmp_path / "cache")
    assert not list((tmp_path / "cache").iterdir())
    corpus.utterances[7].path.unlink()
    with pytest.raises(UserError, match=r"7\.flac: cannot be read"):
        load_sounds(corpus, tmp_path / "cache")


@pytest.mark.parametrize("suffix", ["wav", "flac", "ogg", "mp3"])
def test_a_file_that_was_copied_by_half_is_named(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"half.{suffix}"
    soundfile.write(path, np.random.default_rng(0).uniform(-0.5, 0.5, 96_000), 16_000)
    whole = Utterance("half", path, "01", "sad")
    assert len(whole.samples()) >= 96_000
    os.truncate(path, path.stat().st_size // 2)
    with pytest.raises(UserError, match=rf"half\.{suffix}: (the file is cut off|cannot be read)"):
        whole.samples()


def test_a_damaged_or_impossible_cache_is_named(corpus: Corpus, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    load_sounds(corpus, cache)
    (folder,) = cache.iterdir()
    os.truncate(folder / "samples.int16", 100)
    with pytest.raises(UserError, match=rf"cache {folder}: damaged \(.*\); delete it"):
        load_sounds(corpus, cache)
    (folder / "samples.int16").unlink()
    with pytest.raises(UserError, match=f"cache {folder}: damaged .*; delete it"):
        load_sounds(corpus, cache)
    file = tmp_path / "file"
    file.touch()
    with pytest.raises(UserError, match=f"cache {file}.*cannot be written"):
        load_sounds(replace(corpus, name="other"), file)
