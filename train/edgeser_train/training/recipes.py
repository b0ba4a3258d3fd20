"""Recipes by model and name: ``edgeser`` is how we train, ``paper`` how the model's paper did.

The papers' recipes do without our additions: nothing is augmented unless the paper says so, pieces
are as the window policy cuts them, and the last epoch is used unless the paper validates. How we
resolve what a paper leaves open is in the comments.
"""

from __future__ import annotations

from typing import Any

import msgspec

from edgeser.errors import UserError
from edgeser.features.pieces import WindowPolicy
from edgeser_train.data import front_ends
from edgeser_train.models import class_named, class_of
from edgeser_train.models.attention_pooling import AttentionPoolingConfig
from edgeser_train.models.eca_cnn import EcaCnnConfig
from edgeser_train.models.lightweight import LightweightConfig
from edgeser_train.models.moonshine import MoonshineConfig
from edgeser_train.models.pcnse_sadrn_ctc import PcnseSadrnCtcConfig
from edgeser_train.models.speech_model import SpeechModel
from edgeser_train.models.streaming import StreamingConfig
from edgeser_train.models.wavlm_sap import WavlmSapConfig
from edgeser_train.registry import Registry
from edgeser_train.sound.augment import SpectrogramAugmentation
from edgeser_train.training.loss import Distillation
from edgeser_train.training.losses import CTC, CrossEntropy, Focal, MultiTask
from edgeser_train.training.recipe import Optimiser, Recipe
from edgeser_train.training.voices import BaselineDraw, Episodes

_SMOOTHED = CrossEntropy(weighting="inverse", label_smoothing=0.1)

_PLAIN: dict[str, Any] = {
    "waveform": None,
    "spectrogram": None,
    "variants": 1,
    "crop_frames": (),
    "clip_norm": 0.0,
    "ema_decay": 0.0,
    "precision": "fp32",
}

_SEVEN_SECONDS = WindowPolicy(cut="centre", frames=700)

_LIGHTWEIGHT = {
    "edgeser": Recipe(
        model=LightweightConfig(blocks=2, dropout=0.3),
        front_end=front_ends.LIGHTWEIGHT,
        window=_SEVEN_SECONDS,
        loss=_SMOOTHED,
    ),
    # Validation every epoch, not every ten steps; the best epoch of at most 330.
    "paper": Recipe(
        model=LightweightConfig(),
        front_end=msgspec.structs.replace(front_ends.LIGHTWEIGHT, normalise="none"),
        window=_SEVEN_SECONDS,
        loss=CrossEntropy(weighting="zhong"),
        optimiser=Optimiser("adam", 3e-4, 0.0, schedule="constant", warm_up=0.0),
        epochs=330,
        batch=64,
        patience=330,
        **{**_PLAIN, "clip_norm": 5.0},
    ),
}

# For unknown voices: small and quick, corpora and voices balanced, relative to a voice's baseline.
_VOICES = Recipe(
    model=LightweightConfig(
        mels=64,
        blocks=2,
        entry_channels=24,
        channels=32,
        hidden=96,
        dropout=0.3,
        early_pool=True,
    ),
    front_end=front_ends.VOICES,
    window=WindowPolicy(cut="centre", frames=350),
    loss=CrossEntropy(weighting="none", label_smoothing=0.1),
    optimiser=Optimiser(learning_rate=3e-3),
    spectrogram=SpectrogramAugmentation(
        mel_warp=(0.9, 1.12), mel_mask=8, range_db=(20.0, 55.0), keep_short=True
    ),
    variants=2,
    copies_of="voice",
    balanced=True,
    examples=3000,
    baselines=BaselineDraw(level_db=5.0),
    episodes=Episodes(),
    crop_frames=(64, 96, 128, 160),
    epochs=30,
    batch=64,
    ema_decay=0.99,
)

_LIGHTWEIGHT["voices"] = _VOICES

# The recipe for unknown voices, adapted to one corpus, and as it is. Segments are heard whole.
_STREAMING = {
    "edgeser": msgspec.structs.replace(
        _VOICES,
        model=StreamingConfig(dropout=0.3),
        front_end=front_ends.STREAM,
        window=WindowPolicy(),
        loss=_SMOOTHED,
        copies_of="utterance",
        balanced=False,
        episodes=None,
        examples=0,
        variants=8,
        crop_frames=(80, 120, 160),
        epochs=60,
        batch=32,
    ),
    "voices": msgspec.structs.replace(
        _VOICES,
        model=StreamingConfig(dropout=0.3),
        front_end=front_ends.STREAM,
        window=WindowPolicy(),
    ),
}

_ECA_CNN = {
    # Six seconds at most; shorter utterances are not padded: the network masks padding.
    "edgeser": Recipe(
        model=EcaCnnConfig(dropout=0.3),
        front_end=front_ends.eca(8, "speech"),
        window=WindowPolicy(cut="centre", frames=600, max_seconds=6.0),
        loss=_SMOOTHED,
        optimiser=Optimiser(learning_rate=1e-3),
        spectrogram=SpectrogramAugmentation(mel_mask=8),
        epochs=40,
    ),
    # The paper's number of steps is not matched: an epoch draws one STFT version per utterance.
    "paper": Recipe(
        model=EcaCnnConfig(),
        front_end=front_ends.eca(8),
        window=WindowPolicy(cut="centre", frames=600, fill=True, max_seconds=6.0, pad_frames=600),
        loss=Focal(weighting="inverse", gamma=1.0),
        optimiser=Optimiser("adam", 1e-4, 1e-6, schedule="constant", warm_up=0.0),
        stft_windows=tuple(front_ends.STFT_VERSIONS.values()),
        epochs=150,
        batch=32,
        **_PLAIN,
    ),
}

_TWO_SECONDS = WindowPolicy(cut="segments", frames=200, hop_frames=40, pad_frames=200)

_ATTENTION_POOLING = {
    "edgeser": Recipe(
        model=AttentionPoolingConfig(dropout=0.2),
        front_end=front_ends.ATTENTION_POOLING,
        window=_TWO_SECONDS,
        loss=_SMOOTHED,
        optimiser=Optimiser(learning_rate=1e-3),
        spectrogram=SpectrogramAugmentation(mel_mask=40),
        crop_frames=(200,),
        standardise=False,
        epochs=40,
    ),
    # Training takes a random one of the pieces that a test would cut, not a piece every second.
    "paper": Recipe(
        model=AttentionPoolingConfig(),
        front_end=front_ends.ATTENTION_POOLING,
        window=_TWO_SECONDS,
        loss=CrossEntropy(weighting="none"),
        optimiser=Optimiser(
            "sgd", 0.05, 1e-4, schedule="steps", warm_up=0.0, milestones=(21, 31, 41)
        ),
        standardise=False,
        epochs=50,
        batch=64,
        **_PLAIN,
    ),
}

_FIVE_SECONDS = WindowPolicy(
    cut="segments", frames=500, hop_frames=250, pad_frames=500, max_seconds=10.0
)

_PCNSE_SADRN_CTC = {
    "edgeser": Recipe(
        model=PcnseSadrnCtcConfig(batch_norm=True),
        front_end=front_ends.pcnse("speech"),
        window=_FIVE_SECONDS,
        loss=CTC(weighting="inverse"),
        optimiser=Optimiser(learning_rate=1e-3),
        spectrogram=SpectrogramAugmentation(mel_mask=5),
        crop_frames=(500,),
        epochs=40,
    ),
    # One stage, Adadelta at its customary rate: at the paper's 4e-3 the weights hardly move.
    "paper": Recipe(
        model=PcnseSadrnCtcConfig(),
        front_end=front_ends.PCNSE,
        window=_FIVE_SECONDS,
        loss=CTC(weighting="inverse"),
        optimiser=Optimiser("adadelta", 1.0, 0.0, schedule="constant", warm_up=0.0),
        epochs=100,
        batch=32,
        patience=15,
        **_PLAIN,
    ),
}

_NINETEEN_SECONDS = WindowPolicy(cut="centre", frames=950, pad_frames=50, max_seconds=19.0)

_FINE_TUNING = {
    **_PLAIN,
    "standardise": False,
    "batch": 8,
    "accumulate": 8,
    "epochs": 30,
    "precision": "auto",
}

_WAVLM_SAP = {
    # The encoder is frozen: a small machine can train the pooling and the heads.
    "edgeser": Recipe(
        model=WavlmSapConfig(frozen="encoder", multi_task=False),
        front_end=front_ends.WAVEFORM,
        window=_NINETEEN_SECONDS,
        loss=_SMOOTHED,
        optimiser=Optimiser(learning_rate=1e-3),
        **_FINE_TUNING,
    ),
    # Early stopping looks at UA, not at the loss.
    "paper": Recipe(
        model=WavlmSapConfig(),
        front_end=front_ends.WAVEFORM,
        window=_NINETEEN_SECONDS,
        loss=MultiTask(),
        optimiser=Optimiser(learning_rate=3e-5, weight_decay=0.0),
        patience=5,
        **_FINE_TUNING,
    ),
}

# An encoder pretrained on thousands of voices; its last layers and the head are trained, with
# logits centred by voice.
_MOONSHINE = {
    "voices": msgspec.structs.replace(
        _VOICES,
        model=MoonshineConfig(learnt=2, attention=True),
        front_end=front_ends.WAVEFORM,
        optimiser=Optimiser(learning_rate=3e-3, pretrained_rate=0.07, pretrained_after=0.5),
        spectrogram=None,
        standardise=False,
        crop_frames=(72, 100),
        epochs=10,
        ema_decay=0.98,
    ),
}

RECIPES: dict[str, dict[str, Recipe]] = {
    "lightweight": _LIGHTWEIGHT,
    "eca-cnn": _ECA_CNN,
    "attention-pooling": _ATTENTION_POOLING,
    "pcnse-sadrn-ctc": _PCNSE_SADRN_CTC,
    "wavlm-sap": _WAVLM_SAP,
    "streaming": _STREAMING,
    "moonshine": _MOONSHINE,
}


_ALL = Registry[dict[str, Recipe]]("recipe", "edgeser.recipes", RECIPES, dict)
"""Our recipes, and those of other packages for their own models, by the model's name."""


def recipes_of(model: str) -> dict[str, Recipe]:
    """A model's recipes by name. A model without any gets ``edgeser``, made from its own front end
    and window. Raises UserError for an unknown model.
    """
    is_listed = model in _ALL  # raises if another package lists one of our models
    if model in RECIPES:
        return RECIPES[model]
    network = class_named(model, "model")
    if is_listed:
        return _of_its_own(model, network)
    front_end = network.front_end
    masks = SpectrogramAugmentation(mel_mask=front_end.width // 8)
    try:
        plain = Recipe(
            model=network.config_type(),
            front_end=front_end,
            window=network.window,
            loss=_SMOOTHED,
            spectrogram=masks if front_end.spectral else None,
            standardise=front_end.spectral,  # samples are normalised already
        )
    except ValueError as error:
        raise UserError(f"model '{model}': {error}") from error
    return {"edgeser": plain}


def _of_its_own(model: str, network: type[SpeechModel]) -> dict[str, Recipe]:
    recipes = _ALL.named(model, "recipe")
    for name, recipe in recipes.items():
        if not isinstance(recipe, Recipe) or class_of(recipe.model) is not network:
            raise UserError(
                f"recipe '{name}' of model '{model}': no Recipe of {network.__name__}",
                f"give it a model={network.config_type.__name__}()",
            )
    return recipes


def recipe_of(
    model: str, name: str | None = None, *, labels: int = 4, distilled: bool = False
) -> Recipe:
    """A recipe by name, for so many labels, with or without distillation from a teacher.

    Without a name ``edgeser``, or the only one that the model has. Raises UserError.
    """
    recipes = recipes_of(model)
    if name is None:
        name = next(iter(recipes)) if len(recipes) == 1 else "edgeser"
    if name not in recipes:
        raise UserError(f"--recipe {name}: there is none", f"{model} has {', '.join(recipes)}")
    recipe = recipes[name]
    return msgspec.structs.replace(
        recipe,
        model=recipe.model.for_labels(labels),
        distillation=Distillation() if distilled else None,
    )
