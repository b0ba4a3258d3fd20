"""The models by name."""

from __future__ import annotations

from typing import TypeAlias

from edgeser_train.models.eca_cnn import EcaCnn, EcaCnnConfig
from edgeser_train.models.lightweight import Lightweight, LightweightConfig
from edgeser_train.models.speech_model import SpeechModel

__all__ = ["ModelConfig", "SpeechModel", "build"]

ModelConfig: TypeAlias = LightweightConfig | EcaCnnConfig
"""The architecture as data: one tagged struct per model, its tag the model's name."""

_CLASSES: dict[type[ModelConfig], type[SpeechModel]] = {
    LightweightConfig: Lightweight,
    EcaCnnConfig: EcaCnn,
}


def build(config: ModelConfig) -> SpeechModel:
    """The network of a configuration, freshly initialised."""
    return _CLASSES[type(config)](config)  # type: ignore[arg-type]
