"""The models by name. A model is a file with its configuration and its network, and a line here."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgeser_train.models.config import ModelConfig
from edgeser_train.registry import Registry

if TYPE_CHECKING:
    from edgeser_train.models.speech_model import SpeechModel

__all__ = ["MODELS", "ModelConfig", "build", "class_of"]

MODELS: Registry[type[SpeechModel]] = Registry(
    "model",
    "edgeser.models",
    {
        "lightweight": "edgeser_train.models.lightweight:Lightweight",
        "eca-cnn": "edgeser_train.models.eca_cnn:EcaCnn",
        "attention-pooling": "edgeser_train.models.attention_pooling:AttentionPooling",
        "pcnse-sadrn-ctc": "edgeser_train.models.pcnse_sadrn_ctc:PcnseSadrnCtc",
        "wavlm-sap": "edgeser_train.models.wavlm_sap:WavlmSap",
        "streaming": "edgeser_train.models.streaming:Streaming",
        "moonshine": "edgeser_train.models.moonshine:Moonshine",
    },
)
"""Their names are known without importing PyTorch."""


def build(config: ModelConfig) -> SpeechModel:
    """The network of a configuration, freshly initialised."""
    return class_of(config)(config)  # type: ignore[arg-type]  # each takes its own


def class_of(config: ModelConfig) -> type[SpeechModel]:
    """What a configuration configures. Raises UserError for a model that is not installed."""
    return MODELS.named(config.name, "model")
