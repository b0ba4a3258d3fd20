"""Losses, batches, augmentation and recipes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from edgeser.errors import UserError
from edgeser.features import FrontEnd
from edgeser.features.frames import features_of
from edgeser.model.golden import waveform
from edgeser_train import checkpoint
from edgeser_train.augment import (
    SpectrogramAugmentation,
    WaveformAugmentation,
    mask,
    vary,
    warp,
)
from edgeser_train.batches import Pieces
from edgeser_train.corpora.emodb import load
from edgeser_train.frames import corpus_frames, raw_frames
from edgeser_train.models.lightweight import Lightweight
from edgeser_train.recipe import Recipe, changed
from edgeser_train.scoring import scaled, utterance_features
from edgeser_train.training import class_weights, train, weighted_cross_entropy
from tests.train.synthetic import TINY

RECIPE = changed(Recipe(), TINY)


def test_weighted_cross_entropy_is_torch_s() -> None:
    torch.manual_seed(0)
    logits, targets = torch.randn(12, 4), torch.randint(4, (12,))
    weights = torch.tensor([0.5, 1.0, 2.0, 0.7])
    ours = weighted_cross_entropy(logits, torch.eye(4)[targets], weights)
    theirs = torch.nn.functional.cross_entropy(logits, targets, weight=weights)
    torch.testing.assert_close(ours, theirs)


def test_class_weights_are_inverse_frequencies_of_mean_one() -> None:
    targets = np.repeat([0, 1, 2, 3], [127, 71, 79, 62])
    weights = class_weights(targets, 4).numpy()
    np.testing.assert_allclose(weights, 339 / 4 / np.array([127, 71, 79, 62]), rtol=1e-6)
    assert weights[targets].mean() == pytest.approx(1)


@pytest.mark.parametrize("seed", range(8))
def test_a_varied_recording_is_a_recording(seed: int) -> None:
    spec = WaveformAugmentation(
        speed_chance=1, tilt_chance=1, room_chance=1, noise_chance=1, speed=(0.8, 1.25)
    )
    sound = waveform(seed, 1.0)
    varied = vary(sound, spec, np.random.default_rng(seed))
    again = vary(sound, spec, np.random.default_rng(seed))
    assert varied.dtype == np.int16
    assert 0.79 <= len(varied) / len(sound) <= 1.26
    assert np.abs(varied.astype(int)).max() > 500
    np.testing.assert_array_equal(varied, again)


@pytest.mark.parametrize("length", [20, 100, 150])
def test_a_warped_piece_has_its_length(length: int) -> None:
    frames = raw_frames(waveform(1, 1.0), FrontEnd())
    for seed in range(20):
        rng = np.random.default_rng(seed)
        piece = warp(frames, length, SpectrogramAugmentation(), rng)
        assert piece.shape == (length, 128)
        assert piece.dtype == np.float32
        assert frames.min() - 20 < piece.min() <= piece.max() < frames.max() + 20


def test_without_warping_a_piece_is_a_cut() -> None:
    frames = np.arange(100, dtype=np.float32)[:, None] + np.zeros((1, 8), np.float32)
    still = SpectrogramAugmentation(tempo=(1, 1), mel_warp=(1, 1), tilt_db=0, ripple_db=0)
    piece = warp(frames, 30, still, np.random.default_rng(0))
    np.testing.assert_allclose(np.diff(piece[:, 0]), 1, atol=1e-4)


def test_masks_leave_most_of_a_window() -> None:
    features = features_of(waveform(1, 2.0), FrontEnd())
    before = features.copy()
    mask(features, SpectrogramAugmentation(), np.random.default_rng(0))
    assert 0 < (features != before).mean() < 0.5


def test_frames_are_computed_once(emodb: Path, tmp_path: Path) -> None:
    corpus = load(emodb)
    frames = corpus_frames(corpus, RECIPE, tmp_path)
    assert frames.bounds.shape == (339, 2, 2)
    first = raw_frames(corpus.utterances[5].samples(), RECIPE.front_end)
    np.testing.assert_allclose(frames.of(5, 0), first, atol=0.04)
    kept = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.npy")}
    corpus_frames(corpus, RECIPE, tmp_path)
    corpus_frames(corpus, changed(RECIPE, ["front_end.normalise=peak", "epochs=9"]), tmp_path)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.npy")} == kept
    assert not list(tmp_path.glob(".*"))


def test_epochs_cover_the_part_and_only_it(emodb: Path, cache: Path) -> None:
    corpus = load(emodb)
    frames = corpus_frames(corpus, RECIPE, cache)
    part = tuple(range(0, 339, 3))
    pieces = Pieces(frames, part, corpus.targets, 4, RECIPE, seed=3)
    batches = list(pieces)
    assert len(batches) == len(pieces)
    wanted = np.bincount([corpus.targets[i] for i in part], minlength=4)
    assert sum(soft.sum(0) for _, _, soft in batches).tolist() == wanted.tolist()
    for features, counts, _ in batches:
        assert features.shape[1] in RECIPE.crop_frames
        assert (counts == features.shape[1]).all()
    mixed = changed(RECIPE, ["spectrogram.mixup=0.4"])
    for _, _, soft in Pieces(frames, part, corpus.targets, 4, mixed, seed=3):
        torch.testing.assert_close(soft.sum(dim=1), torch.ones(len(soft)))


def test_training_is_the_same_for_the_same_seed(emodb: Path, cache: Path) -> None:
    corpus = load(emodb)
    frames = corpus_frames(corpus, RECIPE, cache)
    part = tuple(range(100, 300))
    one = train(corpus, frames, part, RECIPE, seed=4)
    two = train(corpus, frames, part, RECIPE, seed=4)
    assert one.losses == pytest.approx(two.losses, rel=1e-3)
    assert len(one.losses) == RECIPE.epochs
    features = np.concatenate([RECIPE.front_end.normalised(frames.of(i, 0)) for i in part])
    np.testing.assert_allclose(one.model.mean.numpy(), features.mean(axis=0), atol=1e-3)


def test_a_loss_that_is_no_number_stops_training(emodb: Path, cache: Path) -> None:
    corpus = load(emodb)
    frames = corpus_frames(corpus, RECIPE, cache)
    wild = changed(RECIPE, ["learning_rate=1e30", "warm_up=0.0", "clip_norm=1e30"])
    with pytest.raises(UserError, match=r"training: the loss became (nan|inf) in epoch"):
        train(corpus, frames, tuple(range(339)), wild, seed=1)


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("epoch=3", "the recipe has no 'epoch'"),
        ("epochs", "the recipe has no 'epochs'"),
        ("model.blocks.n=3", "the recipe has no 'model.blocks.n'"),
        ("epochs=0", "bad recipe: .*at least 1"),
        ("crop_frames=[]", "bad recipe: .*at least 3"),
        ("crop_frames=[2]", "bad recipe: .*at least 3"),
        ("learning_rate=0.0", "bad recipe: .*learning_rate > 0"),
        ("front_end.mels=64", "bad recipe: .*front_end.mels is 64"),
        ("epochs=many", r"bad recipe: Expected `int`, got `str` - at `\$.epochs`"),
        ("model.dropout=2", "bad recipe: .*dropout"),
        ("front_end.normalise=loud", "bad recipe: Invalid enum value 'loud'"),
    ],
)
def test_a_bad_setting_is_one_line(setting: str, said: str) -> None:
    with pytest.raises(UserError, match=said):
        changed(Recipe(), [setting])


def test_a_checkpoint_comes_back(tmp_path: Path, emodb: Path) -> None:
    model = Lightweight(RECIPE.model).eval()
    origin = checkpoint.origin_of(load(emodb), RECIPE, "full", 1)
    checkpoint.save(tmp_path / "m" / "model.pt", model, origin)
    again, read = checkpoint.load(tmp_path / "m" / "model.pt")
    assert read == origin
    x, n = torch.randn(1, 50, 128), torch.tensor([50])
    torch.testing.assert_close(again(x, n), model(x, n))
    assert [p.name for p in (tmp_path / "m").iterdir()] == ["model.pt"]


@pytest.mark.parametrize("content", [b"", b"text", None])
def test_what_is_no_checkpoint_is_named(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "model.pt"
    if content is None:
        torch.save({"weights": {}}, path)
    else:
        path.write_bytes(content)
    with pytest.raises(UserError, match=r"model\.pt: not of a lightweight model"):
        checkpoint.load(path)
    with pytest.raises(UserError, match="no such file"):
        checkpoint.load(tmp_path / "other.pt")


def test_gain_rounds_and_clips() -> None:
    sound = np.array([10, -10, 30000, -30000, 4], np.int16)
    assert scaled(sound, 20.0).tolist() == [100, -100, 32767, -32768, 40]
    assert scaled(sound, -20.0).tolist() == [1, -1, 3000, -3000, 0]


def test_long_utterances_are_scored_on_their_middle() -> None:
    front_end = FrontEnd()
    sound = waveform(1, 3.0)
    assert len(utterance_features(sound, front_end, 700)) == 300
    assert len(utterance_features(sound, front_end, 120)) == 120
    middle = sound[90 * 160 : 210 * 160]
    expected = features_of(middle, front_end)
    np.testing.assert_allclose(utterance_features(sound, front_end, 120), expected)
    assert len(utterance_features(sound[:5], front_end, 120)) == 3
