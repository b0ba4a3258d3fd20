"""Training as the device will hear: even draws, one room for a voice, baselines of its speech."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import msgspec
import numpy as np
import pytest

from edgeser.errors import UserError
from edgeser_train.corpora import Corpus, load_corpora
from edgeser_train.data.frames import CorpusFrames, corpus_frames
from edgeser_train.sound.augment import SpectrogramAugmentation, WaveformAugmentation, vary, warped
from edgeser_train.training.batches import Material, Pieces
from edgeser_train.training.recipe import Recipe, changed
from edgeser_train.training.recipes import recipe_of
from edgeser_train.training.sampling import drawn_evenly
from edgeser_train.training.voices import BaselineDraw, Voices
from tests.sounds import speech

RECIPE = changed(
    recipe_of("lightweight", "voices"),
    [
        "variants=2",
        "crop_frames=[8]",
        "examples=64",
        "batch=8",
        "model.hidden=8",
        "model.channels=8",
    ],
)


@pytest.fixture(scope="module")
def corpus(emodb: Path) -> Corpus:
    return load_corpora([f"emodb={emodb}"])


@pytest.fixture(scope="module")
def frames(corpus: Corpus, cache: Path) -> CorpusFrames:
    return corpus_frames(corpus, RECIPE, cache)


def voices(corpus: Corpus, frames: CorpusFrames, draw: BaselineDraw, part: list[int]) -> Voices:
    return Voices(corpus, frames, RECIPE.front_end, part, draw)


def test_a_baseline_is_of_the_same_voice_copy_and_part_and_never_of_the_utterance_itself(
    corpus: Corpus, frames: CorpusFrames
) -> None:
    first = [i for i, u in enumerate(corpus.utterances) if u.speaker == "03"]
    part = [*first[:2], *(i for i, u in enumerate(corpus.utterances) if u.speaker == "08")]
    drawn = voices(corpus, frames, BaselineDraw(0.0, (1, 8), (0.0, 0.0)), part)
    rng = np.random.default_rng(0)
    other = RECIPE.front_end.heard(frames.of(first[1], 1))
    found = [drawn.baseline(first[0], 1, rng) for _ in range(40)]
    assert any(b is None for b in found)  # it alone was drawn
    for baseline in found:
        if baseline is not None:
            assert baseline.frames % other.frames == 0
            np.testing.assert_allclose(baseline.mean, other.mean, atol=1e-3)


def test_most_of_a_baseline_is_neutral_where_the_draw_says_so(
    corpus: Corpus, frames: CorpusFrames
) -> None:
    part = list(range(len(corpus.utterances)))
    calm = [
        i
        for i in part
        if corpus.utterances[i].label == "neutral" and corpus.utterances[i].speaker == "03"
    ]
    drawn = voices(corpus, frames, BaselineDraw(0.0, (16, 16), (1.0, 1.0)), part)
    one = next(i for i in part if corpus.utterances[i].speaker == "03" and i not in calm)
    baseline = drawn.baseline(one, 0, np.random.default_rng(1))
    assert baseline is not None
    means = np.stack([RECIPE.front_end.heard(frames.of(i, 0)).mean for i in calm])
    assert (baseline.mean >= means.min(axis=0) - 1e-2).all()
    assert (baseline.mean <= means.max(axis=0) + 1e-2).all()


def test_sometimes_there_is_none(corpus: Corpus, frames: CorpusFrames) -> None:
    drawn = voices(corpus, frames, BaselineDraw(none_chance=1.0), list(range(40)))
    assert drawn.baseline(0, 0, np.random.default_rng(0)) is None


def test_corpora_classes_and_speakers_are_drawn_evenly(corpus: Corpus) -> None:
    part = [i for i, u in enumerate(corpus.utterances) if u.speaker in ("03", "08")]
    drawn = drawn_evenly(corpus, part, 8000, np.random.default_rng(0))
    assert set(drawn.tolist()) <= set(part)
    labels = Counter(corpus.utterances[i].label for i in drawn)
    pairs = Counter((corpus.utterances[i].label, corpus.utterances[i].speaker) for i in drawn)
    assert all(count == pytest.approx(2000, rel=0.1) for count in labels.values())
    assert all(count == pytest.approx(1000, rel=0.15) for count in pairs.values())


def test_a_voices_copies_are_of_one_room_and_the_noise_is_its_own() -> None:
    spec = WaveformAugmentation(
        speed_chance=0, codec_chance=0, band_chance=0, noise_chance=0, tilt_chance=1, room_chance=1
    )
    sound = speech()[:16_000]

    def varied(spec: WaveformAugmentation, noise: int) -> np.ndarray:
        return vary(sound, spec, np.random.default_rng(1), np.random.default_rng(noise))

    np.testing.assert_array_equal(varied(spec, 1), varied(spec, 2))
    noisy = msgspec.structs.replace(spec, noise_chance=1.0)
    apart = varied(noisy, 1).astype(float) - varied(noisy, 2)
    assert 0 < np.abs(apart).mean() < 3000


def test_a_short_recording_stays_short_where_the_recipe_says_so() -> None:
    spec = SpectrogramAugmentation(mel_mask=4, keep_short=True)
    frames = np.random.default_rng(0).normal(size=(30, 16)).astype(np.float32)
    for seed in range(20):
        varied = warped(frames, 100, spec, np.random.default_rng(seed))
        assert 8 <= len(varied.piece) <= 36
        np.testing.assert_allclose(varied.spectrum(np.zeros(16, np.float32)), varied.response_db)
    assert len(warped(frames, 10, spec, np.random.default_rng(0)).piece) == 10


def test_an_epoch_of_the_recipe_is_the_same_again(corpus: Corpus, frames: CorpusFrames) -> None:
    part = tuple(range(len(corpus.utterances)))
    first, again = (list(Pieces(Material(corpus, frames, RECIPE), part, seed=3)) for _ in range(2))
    assert len(first) == 8
    for one, other in zip(first, again, strict=True):
        assert one.features.equal(other.features)
        assert one.frames.equal(other.frames)
    assert len({batch.features.shape[1] for batch in first}) == 1


@pytest.mark.parametrize(
    ("setting", "told"),
    [
        ("front_end.normalise=speech", "baselines need front_end.normalise 'voice'"),
        ("balanced=false", "examples must be"),
        ("baselines.none_chance=2", "none_chance"),
        ("baselines.utterances=[3,1]", "utterances"),
    ],
)
def test_what_does_not_fit_together_is_refused(setting: str, told: str) -> None:
    with pytest.raises(UserError, match=told):
        changed(RECIPE, [setting])


def test_the_recipe_is_small() -> None:
    recipe: Recipe = recipe_of("lightweight", "voices", labels=6)
    assert recipe.front_end.hop == 320
    assert recipe.model.labels == 6
