"""Several models as one: the mean of what they say, whatever they hear, in any pieces."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from edgeser.errors import UserError
from edgeser.model.model import load_model
from edgeser_export.onnx_export import Release, export
from edgeser_export.record import Calibration, record_of
from edgeser_train.evaluation.unknown_voice_calibration import UnknownVoiceCalibration
from edgeser_train.models import build
from edgeser_train.models.config import ModelConfig
from edgeser_train.models.ensemble import StreamEnsemble, ensemble_of
from edgeser_train.models.lightweight import LightweightConfig
from edgeser_train.models.speech_model import SpeechModel
from edgeser_train.models.streaming import StreamingConfig
from edgeser_train.training import checkpoint
from edgeser_train.training.recipe import Recipe, changed
from edgeser_train.training.recipes import recipe_of

LABELS = ["angry", "neutral", "sad"]
SMALL = ["model.hidden=8", "model.channels=8", "model.entry_channels=4", "model.head=8"]


def members(config: ModelConfig, count: int = 3) -> list[SpeechModel]:
    made = []
    for seed in range(count):
        torch.manual_seed(seed)
        model = build(config).eval()
        model.centre(config.labels)
        torch.nn.init.normal_(model.prior)
        model.mean.normal_()
        model.std.uniform_(5, 10)
        made.append(model)
    return made


def kept(path: Path, model: SpeechModel, recipe: Recipe, seed: int) -> Path:
    origin = checkpoint.Origin(
        labels=LABELS,
        recipe=recipe,
        corpora=["nothing"],
        licence="CC0-1.0",
        protocol="none",
        trained_on=[],
        seed=seed,
        date="2026-11-22",
        commit="none",
    )
    checkpoint.save(path, model, origin)
    return path


def test_windows_get_the_mean_of_the_logits() -> None:
    models = members(LightweightConfig(mels=64, blocks=1, hidden=8, channels=8))
    together = ensemble_of(models)
    features, frames = torch.randn(2, 40, 64) * 8, torch.tensor([40, 25])
    with torch.inference_mode():
        expected = torch.stack([model(features, frames) for model in models]).mean(dim=0)
        torch.testing.assert_close(together(features, frames), expected)
    prior = torch.stack([model.prior for model in models]).mean(dim=0)
    torch.testing.assert_close(together.prior, prior)
    assert together.min_frames == models[0].min_frames


def test_streams_are_heard_in_any_pieces_as_a_whole() -> None:
    together = ensemble_of(members(StreamingConfig(hidden=8, channels=8, entry_channels=4)))
    assert isinstance(together, StreamEnsemble)
    features = torch.randn(1, 60, 64) * 8
    with torch.inference_mode():
        whole = together(features, torch.tensor([60]))
        state = together.first_state(1)
        votes, weights = [], []
        for first in range(0, 60, 15):
            heard = together.stream(features[:, first : first + 15], state)
            state = heard.state
            votes.append(heard.votes)
            weights.append(heard.weights)
        every, weight = torch.cat(votes, 1), torch.cat(weights, 1)
        pooled = (weight[..., None] * every).sum(dim=1) / weight.sum(dim=1, keepdim=True)
    torch.testing.assert_close(pooled, whole, atol=1e-5, rtol=1e-5)


def test_members_that_agree_are_one_of_them() -> None:
    (model,) = members(StreamingConfig(hidden=8, channels=8, entry_channels=4), 1)
    together = ensemble_of([model, model])
    features, frames = torch.randn(3, 50, 64) * 8, torch.tensor([50, 30, 12])
    with torch.inference_mode():
        torch.testing.assert_close(together(features, frames), model(features, frames))
    assert ensemble_of([model]) is model


@pytest.mark.parametrize("name", ["lightweight", "streaming"])
def test_checkpoints_of_several_seeds_become_one_artefact(name: str, tmp_path: Path) -> None:
    recipe = changed(recipe_of(name, "voices", labels=3), SMALL)
    models = members(recipe.model, 2)
    paths = [
        kept(tmp_path / f"{seed}.pt", model, recipe, seed) for seed, model in enumerate(models)
    ]
    model, origin = checkpoint.load_together(paths)
    strangers = UnknownVoiceCalibration(1.5, 1.25, dict.fromkeys(origin.labels, 0.5), 0.0)
    release = Release("both", "1.0.0", record_of(origin, None), Calibration(strangers=strangers))
    export(model, origin, tmp_path / "both.onnx", release)
    loaded = load_model(str(tmp_path / "both.onnx"))
    assert loaded.info.centring is not None
    assert loaded.info.centring.known_scale == 1.25
    assert loaded.info.centring.stranger_shift == [0.75, 0.75, 0.75]
    features = np.random.default_rng(0).normal(0, 8, (50, 64)).astype(np.float32)
    with torch.inference_mode():
        expected = model(torch.from_numpy(features)[None], torch.tensor([50]))[0].numpy()
    np.testing.assert_allclose(loaded.logits([[features]])[0], expected, atol=1e-4)


def test_models_trained_differently_make_no_ensemble(tmp_path: Path) -> None:
    recipe = changed(recipe_of("streaming", "voices", labels=3), SMALL)
    model, other = members(recipe.model, 2)
    paths = [
        kept(tmp_path / f"{name}.pt", m, recipe, 1)
        for name, m in zip("ab", (model, other), strict=True)
    ]
    with pytest.raises(UserError, match=r"b\.pt: another one has the same seed, 1"):
        checkpoint.load_together(paths)
    longer = kept(tmp_path / "c.pt", other, changed(recipe, ["epochs=31"]), 2)
    with pytest.raises(UserError, match=r"c\.pt: differs from .*a\.pt in its recipe"):
        checkpoint.load_together([paths[0], longer])
