"""Every recipe from recordings to scores, a few steps each, and WavLM from the command line."""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch

from edgeser.errors import UserError
from edgeser_train.corpora import load_corpus
from edgeser_train.data import front_ends
from edgeser_train.data.frames import corpus_frames
from edgeser_train.data.protocols import folds_of
from edgeser_train.evaluation.folds import Plan, run_folds
from edgeser_train.models.moonshine import Moonshine
from edgeser_train.sound.augment import (
    SpectrogramAugmentation,
)
from edgeser_train.training import checkpoint
from edgeser_train.training.batches import CropDataset, TrainingData
from edgeser_train.training.losses import DifficultyFocal, Focal
from edgeser_train.training.recipe import Recipe, changed
from edgeser_train.training.recipes import RECIPES, recipe_of
from tests.command_line import edgeser
from tests.train.synthetic import make_manifest

SHORT = ("window.frames=40", "window.pad_frames=40")
SEGMENTS = (*SHORT, "window.hop_frames=20")
NARROW = {
    "lightweight": (
        "model.blocks=1",
        "model.channels=8",
        "model.entry_channels=4",
        "model.hidden=8",
        "model.head=8",
        *SHORT,
    ),
    "eca-cnn": ("model.n=1", *SHORT),
    "attention-pooling": SEGMENTS,
    "pcnse-sadrn-ctc": (
        "model.channels=8",
        "model.dilations=[1,2]",
        "model.pad_frames=40",
        *SEGMENTS,
    ),
    "streaming": (
        "model.blocks=1",
        "model.channels=8",
        "model.entry_channels=4",
        "model.hidden=8",
        "model.head=8",
    ),
    "wavlm-sap": (
        "model.pretrained=null",
        "model.hidden=32",
        "model.layers=1",
        "model.encoder_heads=2",
        "model.feed_forward=32",
        "model.conv_channels=8",
        "model.heads=2",
        "model.head=8",
    ),
    "moonshine": (
        "model.pretrained=null",
        "model.layers=2",
        "model.hidden=32",
        "model.rank=24",
        "model.heads=2",
        "model.feed_forward=32",
        "model.rotary=8",
    ),
}
FEW = ("variants=1", "epochs=2", "batch=4")

needs_wavlm = pytest.mark.skipif(
    find_spec("transformers") is None, reason="transformers is not installed (extra 'wavlm')"
)
NAMED = [
    pytest.param(model, name, marks=[needs_wavlm] if model == "wavlm-sap" else [])
    for model in RECIPES
    for name in RECIPES[model]
]


def narrowed(model: str, name: str) -> Recipe:
    recipe = changed(recipe_of(model, name), (*FEW, *NARROW[model]))
    return msgspec.structs.replace(
        recipe,
        crop_frames=(40,) if recipe.crop_frames else (),
        stft_windows=recipe.stft_windows[:2],
        accumulate=min(recipe.accumulate, 2),
        examples=min(recipe.examples, 16),
    )


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_manifest(tmp_path_factory.mktemp("manifest"))


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


def evaluated(recipe: Recipe, manifest: Path, cache: Path, run: Path) -> None:
    """Train and score one fold, and compare its checkpoint's scores with those in the result."""
    corpus = load_corpus(f"manifest={manifest}")
    plan = Plan(corpus, recipe, "loso_val", conditions=("clean",))
    fold = folds_of("loso_val", corpus)[0]
    (result,) = run_folds(plan, [fold], run, cache)
    assert np.isfinite(result.losses).all()
    assert len(result.losses) == 2
    assert len(result.validation) == (2 if recipe.patience else 0)
    assert np.isfinite(result.logits).all()
    assert np.shape(result.logits) == (1, 4, 4)
    model, origin = checkpoint.load(run / "a.pt")
    assert origin.recipe == recipe
    assert all(torch.isfinite(tensor).all() for tensor in model.state_dict().values())


@pytest.mark.parametrize(("model", "name"), NAMED)
def test_every_recipe_trains_and_scores(
    model: str, name: str, manifest: Path, kept: Path, tmp_path: Path
) -> None:
    recipe = narrowed(model, name)
    corpus = load_corpus(f"manifest={manifest}")
    data = TrainingData(corpus, corpus_frames(corpus, recipe, kept), recipe)
    batch = next(iter(CropDataset(data, (1, 6), seed=1)))
    assert batch.features.shape[2] == recipe.front_end.width == recipe.model.width
    if recipe.crop_frames:
        short = recipe.spectrogram is None or recipe.spectrogram.keep_short
        assert batch.features.shape[1] in (range(8, 41) if short else recipe.crop_frames)
    assert torch.isfinite(batch.features).all()
    evaluated(recipe, manifest, kept, tmp_path)


def test_a_waveform_takes_no_spectrogram_augmentation(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match="a waveform takes no spectrogram augmentation"):
        changed(recipe_of("moonshine"), ["spectrogram={}"])
    monkeypatch.delitem(RECIPES, "moonshine")  # as a model of another package that brings none
    monkeypatch.setattr(Moonshine, "front_end", front_ends.WAVEFORM)
    recipe = recipe_of("moonshine")
    assert recipe.spectrogram is None
    assert not recipe.standardise


def test_a_network_of_streams_hears_no_pieces() -> None:
    pieces = ["window.cut=segments", "window.frames=100", "window.hop_frames=50"]
    with pytest.raises(UserError, match=r"bad recipe: .*'onset' needs window\.cut 'whole'"):
        changed(recipe_of("streaming"), pieces)


def test_the_only_recipe_of_a_model_is_its_default() -> None:
    assert recipe_of("moonshine") == recipe_of("moonshine", "voices")
    assert recipe_of("streaming") == recipe_of("streaming", "edgeser")


def test_votes_make_examples_difficult(manifest: Path, kept: Path, tmp_path: Path) -> None:
    recipe = msgspec.structs.replace(narrowed("lightweight", "paper"), loss=DifficultyFocal())
    corpus = load_corpus(f"manifest={manifest}")
    data = TrainingData(corpus, corpus_frames(corpus, recipe, kept), recipe)
    assert {int(n) for batch in CropDataset(data, (0, 1, 2, 3), 1) for n in batch.level} == {
        0,
        1,
        2,
    }
    evaluated(recipe, manifest, kept, tmp_path)


@needs_wavlm
def test_wavlm_sap_from_the_command_line(manifest: Path, kept: Path, tmp_path: Path) -> None:
    small = [word for s in (*FEW, *NARROW["wavlm-sap"], "epochs=1") for word in ("--set", s)]
    common = ("--model", "wavlm-sap", "--corpus", f"manifest={manifest}", "--cache", kept)
    done = edgeser("evaluate", *common, *small, "--folds", "a", "-o", tmp_path / "loso")
    assert done.exit_code == 0, done.output
    report = json.loads((tmp_path / "loso" / "report" / "report.json").read_text())
    assert sum(map(sum, report["confusion"])) == 4
    done = edgeser("train", *common, *small, "-o", tmp_path / "all")
    assert done.exit_code == 0, done.output
    model, _ = checkpoint.load(tmp_path / "all" / "model.pt")
    features, frames = torch.randn(1, 30, 321), torch.tensor([30])
    assert model(features, frames).shape == (1, 4)


@needs_wavlm
def test_without_weights_wavlm_sap_says_how_to_get_them(
    manifest: Path, kept: Path, tmp_path: Path
) -> None:
    settings = [*FEW, *NARROW["wavlm-sap"], f"model.pretrained={tmp_path / 'absent'}"]
    small = [word for setting in settings for word in ("--set", setting)]
    common = ("--model", "wavlm-sap", "--corpus", f"manifest={manifest}", "--cache", kept)
    done = edgeser("train", *common, *small, "-o", tmp_path / "run")
    assert done.exit_code == 2
    assert "huggingface-cli download" in done.output
    assert "set model.pretrained to the folder" in done.output
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("epoch=3", "the recipe has no 'epoch'; there is: model, front_end, window"),
        ("epochs", "epochs: it has no value; write epochs=VALUE"),
        ("model.block=3", "model has no 'block'; there is: name, labels, mels, blocks"),
        ("model.blocks.n=3", "model.blocks is 2, which has no fields"),
        ("distillation.weight=1", "distillation is null; put --set distillation={} in front"),
        ("epochs=0", "bad recipe: .*at least 1"),
        ("crop_frames=[2]", "bad recipe: .*at least 3"),
        ("optimiser.learning_rate=0.0", "bad recipe: .*learning_rate > 0"),
        ("front_end.mels=64", "bad recipe: .*gives 64 features a frame, the model takes 128"),
        ("epochs=many", r"bad recipe: Expected `int`, got `str` - at `\$.epochs`"),
        ("model.dropout=2", "bad recipe: .*dropout"),
        ("front_end.normalise=loud", "bad recipe: Invalid enum value 'loud'"),
        ("spectrogram.time_mask=5", "bad recipe: spectrogram: time_mask"),
        ("spectrogram.mel_mask=129", r"bad recipe: spectrogram\.mel_mask must be at most 128"),
        ("spectrogram.mel_masks=-1", "bad recipe: spectrogram: mel_masks must be at least 0"),
        ("spectrogram.tempo=[2,1]", r"bad recipe: spectrogram: tempo .*got \[2\.0, 1\.0\]"),
        ("waveform.speed=[0,1]", "bad recipe: waveform: speed .*above 0"),
        ("waveform.room_s=[0,1]", r"bad recipe: waveform: room_s .*above 0\.001"),
        ("waveform.snr_db=[9,1]", "bad recipe: waveform: snr_db"),
        ("waveform.codec_chance=2", "bad recipe: waveform: codec_chance"),
        ("waveform.tilt_db=-1", "bad recipe: waveform: tilt_db"),
        ("stft_windows=[100]", "bad recipe: front end: .*window 100"),
        ("batch=99999999", "bad recipe: batch and accumulate must be at most"),
        ("accumulate=99999999999999999999", "bad recipe: batch and accumulate must be at most"),
        ("clip_norm=-1", "bad recipe: clip_norm"),
        ("patience=-1", "bad recipe: .*patience"),
        ("optimiser.momentum=-1", "bad recipe: .*momentum"),
        ("optimiser.decay=0", "bad recipe: .*decay > 0"),
        ("window.frames=1", r"bad recipe: window\.frames must be at least 3"),
    ],
)
def test_a_bad_setting_is_one_line(setting: str, said: str) -> None:
    with pytest.raises(UserError, match=said) as raised:
        changed(recipe_of("lightweight"), [setting])
    assert "\n" not in str(raised.value)


def test_another_loss_comes_with_its_own_fields() -> None:
    recipe = changed(recipe_of("lightweight"), ["loss.name=focal", "loss.gamma=2"])
    assert recipe.loss == Focal(gamma=2)
    with pytest.raises(UserError, match="loss: no loss 'hinge'; there is cross-entropy, focal"):
        changed(recipe_of("lightweight"), ["loss.name=hinge"])


def test_what_a_recipe_lacks_can_be_added() -> None:
    paper = recipe_of("lightweight", "paper")
    recipe = changed(paper, ["spectrogram={}", "spectrogram.mixup=0.4"])
    assert recipe.spectrogram == SpectrogramAugmentation(mixup=0.4)
    with pytest.raises(UserError, match="unknown field `mixups`"):
        changed(paper, ["spectrogram={}", "spectrogram.mixups=0.4"])
