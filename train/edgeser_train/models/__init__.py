"""The models by name. Each has a module with its configuration and network, and a line here."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from edgeser.errors import UserError
from edgeser.features import FrontEnd, WindowPolicy
from edgeser_train.models.config import ModelConfig
from edgeser_train.registry import Registry

if TYPE_CHECKING:
    from edgeser_train.models.speech_model import SpeechModel

__all__ = ["MODELS", "ModelConfig", "build", "class_named", "class_of"]

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
    "edgeser_train.models.speech_model:SpeechModel",
    classes=True,
)
"""Their names are known without importing PyTorch."""


def build(config: ModelConfig) -> SpeechModel:
    """The network of a configuration, freshly initialised."""
    return class_of(config)(config)  # type: ignore[arg-type]  # each takes its own


def class_of(config: ModelConfig) -> type[SpeechModel]:
    """The class that a configuration is for. Raises UserError for a model that is not installed."""
    return MODELS.named(config.name, "model")


def class_named(name: str, where: str) -> type[SpeechModel]:
    """A model by its name; ``where`` begins the UserError of an unknown one.

    Raises UserError also for a class that lacks what a model must have, or whose configuration has
    another model's name: then that other model would be built.
    """
    network = MODELS.named(name, where)
    what = f"model '{name}'"
    config_type = getattr(network, "config_type", None)
    bases = (ModelConfig, msgspec.Struct)
    if not isinstance(config_type, type) or not all(issubclass(config_type, b) for b in bases):
        raise UserError(
            f"{what}: {network.__name__} has no config_type",
            f"give it one that is a msgspec.Struct and a ModelConfig, with tag='{name}'",
        )
    try:
        config = config_type().for_labels(2)
        _ = config.width
    except (TypeError, NotImplementedError) as error:
        raise UserError(
            f"{what}: its config cannot be made ({type(error).__name__}: {error})",
            "give every field a default; it has labels and a width",
        ) from error
    if MODELS.get(config.name) is not network:
        raise UserError(
            f"{what}: its config has the tag '{config.name}'",
            f"give it a config_type with tag='{name}'",
        )
    if not isinstance(network.front_end, FrontEnd) or not isinstance(network.window, WindowPolicy):
        raise UserError(
            f"{what}: its front_end is no FrontEnd, or its window no WindowPolicy",
            "leave them out, or give it such",
        )
    return network
