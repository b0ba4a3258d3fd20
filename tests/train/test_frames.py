"""The frames of a corpus, computed once and kept."""

from __future__ import annotations

import inspect
from pathlib import Path

import numpy as np
import pytest
import soundfile

from edgeser.errors import UserError
from edgeser.features import FrontEnd
from edgeser.features.filters import mel_filters
from edgeser.features.frames import raw_frames
from edgeser.model.golden import waveform
from edgeser.speech.vad import VoiceActivity
from edgeser_train.corpora import load_corpus
from edgeser_train.corpora.emodb import load
from edgeser_train.data import frames
from edgeser_train.data.frames import corpus_frames
from edgeser_train.sound import codec
from edgeser_train.sound.augment import (
    vary,
)
from edgeser_train.sound.room import impulse_response
from edgeser_train.training.recipe import changed
from tests.train.synthetic import TINY_RECIPE, make_manifest, training_data_of

CODE = '''"""Add a gain."""

LOUDER = 0.0
"""Add a gain of so many dB."""


class Gain:
    """Add a gain."""

    def of(self, x: float) -> str:
        """Add a gain."""
        # why
        return f"{x + LOUDER}" + "dB"
'''


def test_frames_are_computed_once(emodb: Path, tmp_path: Path) -> None:
    corpus = load(emodb)
    frames = corpus_frames(corpus, TINY_RECIPE, tmp_path)
    assert frames.bounds.shape == (339, 2, 2)
    first = raw_frames(corpus.utterances[5].samples(), TINY_RECIPE.front_end)
    np.testing.assert_allclose(frames.of(5, 0), first, atol=0.04)
    kept = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.npy")}
    corpus_frames(corpus, TINY_RECIPE, tmp_path)
    corpus_frames(corpus, changed(TINY_RECIPE, ["front_end.normalise=peak", "epochs=9"]), tmp_path)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.npy")} == kept
    assert not list(tmp_path.glob(".*"))


def test_frames_that_other_code_made_are_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    makers = (raw_frames, mel_filters, VoiceActivity, vary, codec.g711, impulse_response)
    assert {Path(inspect.getfile(maker)) for maker in makers} < set(frames._SOURCES)
    code = tmp_path / "code.py"
    code.write_text(CODE)
    monkeypatch.setattr(frames, "_SOURCES", (code,))
    corpus = load_corpus(f"manifest={make_manifest(tmp_path)}")

    def kept() -> int:
        corpus_frames(corpus, TINY_RECIPE, tmp_path / "cache")
        return len(list(tmp_path.glob("cache/*/rows.npy")))

    assert [kept(), kept()] == [1, 1]
    for words, others in (("Add a", "Adds the"), ("    # why", "        # because,\n    # and so")):
        assert words in CODE
        code.write_text(CODE.replace(words, others))
        assert kept() == 1, "only words differ"
    for made, (code_before, code_after) in enumerate((("0.0", "6.0"), ('"dB"', '"dBFS"')), 2):
        assert code_before in CODE
        code.write_text(CODE.replace(code_before, code_after))
        assert kept() == made


def test_every_stft_version_is_a_copy(emodb: Path, tmp_path: Path) -> None:
    narrow = changed(TINY_RECIPE, ["stft_windows=[320, 640]", "variants=1"])
    frames = training_data_of(emodb, tmp_path, narrow).frames
    assert frames.copies == 2  # 640 is the recipe's own
    sound = load(emodb).utterances[5].samples()
    for copy, window in enumerate((640, 320)):
        front_end = FrontEnd(window=window, lookback=window - 160)
        np.testing.assert_allclose(frames.of(5, copy), raw_frames(sound, front_end), atol=0.04)


def test_a_file_shorter_than_a_frame_is_named(tmp_path: Path) -> None:
    listed = make_manifest(tmp_path)
    for samples in (159, 160):
        soundfile.write(tmp_path / "3.wav", waveform(1, 1.0)[:samples], 16_000, "PCM_16")
        corpus = load_corpus(f"manifest={listed}")
        if samples < 160:
            with pytest.raises(UserError, match=r"3\.wav: 159 samples, a frame takes 160; repl"):
                corpus_frames(corpus, TINY_RECIPE, tmp_path / "cache")
        else:
            fast = changed(TINY_RECIPE, ["waveform.speed_chance=1", "waveform.speed=[1.2,1.3]"])
            lengths = np.diff(corpus_frames(corpus, fast, tmp_path / "cache").bounds)[3]
            assert (lengths == 1).all()
