"""The models by name."""

from __future__ import annotations

from typing import TypeAlias

from edgeser_train.models.attention_pooling import AttentionPooling, AttentionPoolingConfig
from edgeser_train.models.eca_cnn import EcaCnn, EcaCnnConfig
from edgeser_train.models.lightweight import Lightweight, LightweightConfig
from edgeser_train.models.pcnse_sadrn_ctc import PcnseSadrnCtc, PcnseSadrnCtcConfig
from edgeser_train.models.speech_model import SpeechModel
from edgeser_train.models.wavlm_sap import WavlmSap, WavlmSapConfig

__all__ = ["ModelConfig", "SpeechModel", "build", "class_of"]

ModelConfig: TypeAlias = (
    LightweightConfig | EcaCnnConfig | AttentionPoolingConfig | PcnseSadrnCtcConfig | WavlmSapConfig
)
"""The architecture as data: one tagged struct per model, its tag the model's name."""

_CLASSES: dict[type[ModelConfig], type[SpeechModel]] = {
    LightweightConfig: Lightweight,
    EcaCnnConfig: EcaCnn,
    AttentionPoolingConfig: AttentionPooling,
    PcnseSadrnCtcConfig: PcnseSadrnCtc,
    WavlmSapConfig: WavlmSap,
}


def build(config: ModelConfig) -> SpeechModel:
    """The network of a configuration, freshly initialised."""
    return class_of(config)(config)  # type: ignore[arg-type]


def class_of(config: ModelConfig) -> type[SpeechModel]:
    """What a configuration configures."""
    return _CLASSES[type(config)]
