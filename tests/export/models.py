"""Every registered model, small enough for a test, with its front end and window policy."""

from __future__ import annotations

import msgspec
import numpy as np
import torch

from edgeser.model.artefact import (
    Estimate,
    TrainingRecord,
)
from edgeser_export.golden import golden_pieces
from edgeser_export.onnx_export import Release
from edgeser_export.record import Calibration
from edgeser_train.models import build
from edgeser_train.models.speech_model import SpeechModel
from edgeser_train.training import checkpoint
from edgeser_train.training.checkpoint import Origin
from edgeser_train.training.recipe import Recipe
from edgeser_train.training.recipes import RECIPES, recipe_of

SMALL = {
    "lightweight": {"blocks": 1, "hidden": 16},
    "streaming": {"blocks": 1, "hidden": 16},
    "eca-cnn": {"n": 1},
    "attention-pooling": {},
    "pcnse-sadrn-ctc": {"channels": 8, "dilations": (1, 2), "batch_norm": False},
    "wavlm-sap": {
        "pretrained": None,
        "hidden": 32,
        "layers": 1,
        "encoder_heads": 2,
        "feed_forward": 32,
        "conv_channels": 16,
        "heads": 2,
        "head": 8,
    },
    "moonshine": {
        "pretrained": None,
        "layers": 2,
        "hidden": 32,
        "rank": 24,
        "heads": 2,
        "feed_forward": 32,
        "rotary": 8,
        "learnt": 1,
        "attention": True,
    },
}
NAMES = tuple(RECIPES)
SPECTRAL = tuple(name for name in NAMES if name not in ("wavlm-sap", "moonshine"))


_UNKNOWN = Estimate(0.0, 0.0, 1.0)
RELEASE = Release(
    "small",
    "0",
    TrainingRecord(
        ["nothing"], "CC0-1.0", "none", _UNKNOWN, _UNKNOWN, _UNKNOWN, 1.0, "2026-11-21", "none"
    ),
    Calibration(own_temperature=1.3),
)


def small(name: str, recipe_name: str = "edgeser") -> tuple[SpeechModel, Origin]:
    """A model with random weights, standardised on the test sounds, and its origin."""
    recipe = recipe_of(name, recipe_name if recipe_name in RECIPES[name] else "voices")
    config = msgspec.structs.replace(recipe.model, **SMALL[name])
    recipe = msgspec.structs.replace(recipe, model=config)
    torch.manual_seed(1)
    model = build(config).eval()
    if recipe.episodes is not None:
        model.centre(config.labels)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.02 * torch.randn_like(parameter)
    if recipe.standardise and recipe.front_end.spectral:
        rows = torch.from_numpy(np.concatenate(golden_pieces(recipe.front_end, recipe.window)))
        model.mean.copy_(rows.mean(dim=0))
        model.std.copy_(rows.std(dim=0) + 1e-3)
    return model, origin_of(recipe)


def origin_of(recipe: Recipe) -> Origin:
    return checkpoint.Origin(
        labels=["angry", "happy", "neutral", "sad"],
        recipe=recipe,
        corpora=["nothing"],
        licence="CC0-1.0",
        protocol="none",
        trained_on=[],
        seed=1,
        date="2026-11-21",
        commit="none",
    )
