"""A recipe: every choice that makes a model out of a corpus, as data."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Literal

import msgspec

from edgeser.errors import UserError
from edgeser.features import FrontEnd
from edgeser.model.artefact import WindowPolicy
from edgeser_train.losses import Distillation, LossSpec
from edgeser_train.models import ModelConfig, class_of
from edgeser_train.sound.augment import SpectrogramAugmentation, WaveformAugmentation


class Optimiser(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How weights move.

    The learning rate rises linearly over ``warm_up`` (share of all steps), then stays
    (``constant``), falls along a cosine to 0 (``cosine``), or is multiplied by ``decay`` at the
    start of each of the epochs ``milestones``, counted from 1 (``steps``). ``momentum`` is
    Nesterov's, of ``sgd`` only.
    """

    method: Literal["adamw", "adam", "sgd", "adadelta"] = "adamw"
    learning_rate: float = 2e-3
    weight_decay: float = 0.02
    momentum: float = 0.9
    schedule: Literal["constant", "cosine", "steps"] = "cosine"
    warm_up: float = 0.1
    milestones: tuple[int, ...] = ()
    decay: float = 0.1

    def __post_init__(self) -> None:
        if not (self.learning_rate > 0 and 0 <= self.warm_up <= 1 and self.weight_decay >= 0):
            raise ValueError("need learning_rate > 0, warm_up in [0, 1], weight_decay >= 0")


class Recipe(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How a model is trained.

    ``variants`` copies of each utterance are kept (the first one as recorded), each of them once
    more for every analysis window of ``stft_windows`` (samples; paper 000's augmentation). A batch
    holds random pieces of one length out of ``crop_frames``; without any, a random one of the
    pieces that ``window`` cuts. ``waveform`` and ``spectrogram`` are none where nothing is varied.

    The weights used are those of the last epoch, or with ``patience`` those of the epoch with the
    best UA on the validation part, and training ends when that many epochs brought none better.
    With ``ema_decay`` they are the exponential moving average. ``accumulate`` batches make a step.
    """

    model: ModelConfig
    front_end: FrontEnd
    window: WindowPolicy
    loss: LossSpec
    waveform: WaveformAugmentation | None = WaveformAugmentation()
    spectrogram: SpectrogramAugmentation | None = SpectrogramAugmentation()
    optimiser: Optimiser = Optimiser()
    distillation: Distillation | None = None
    standardise: bool = True
    variants: int = 16
    stft_windows: tuple[int, ...] = ()
    crop_frames: tuple[int, ...] = (128, 160, 192)
    epochs: int = 50
    batch: int = 16
    accumulate: int = 1
    clip_norm: float = 5.0
    ema_decay: float = 0.98
    patience: int = 0
    precision: Literal["bf16", "fp32"] = "bf16"

    def __post_init__(self) -> None:
        if min(self.epochs, self.batch, self.variants, self.accumulate) < 1:
            raise ValueError("epochs, batch, variants and accumulate must be at least 1")
        shortest = class_of(self.model).min_frames
        if min(self.crop_frames, default=shortest) < shortest:
            raise ValueError(f"crop_frames must be at least {shortest}")
        if not 0 <= self.ema_decay < 1:
            raise ValueError("ema_decay must be in [0, 1)")
        if self.front_end.width != self.model.width:
            raise ValueError(
                f"front_end gives {self.front_end.width} features a frame, the model takes "
                f"{self.model.width}"
            )

    @property
    def name(self) -> str:
        """The model's name."""
        return str(self.model.__struct_config__.tag)

    @property
    def fingerprint(self) -> str:
        """The same for equal recipes."""
        return hashlib.sha256(msgspec.json.encode(self)).hexdigest()[:16]


def changed(recipe: Recipe, settings: Iterable[str]) -> Recipe:
    """The recipe with ``field=value`` settings applied; a dot reaches into a part.

    Values are JSON, or plain text. A new ``name`` brings the defaults of what it names, and further
    settings may change its fields. Raises UserError that names a bad setting.
    """
    tree = msgspec.to_builtins(recipe)
    renamed: list[list[str]] = []
    for setting in settings:
        path, equals, text = setting.partition("=")
        *parents, field = path.split(".")
        node = tree
        for parent in parents:
            node = node.get(parent, {}) if isinstance(node, dict) else {}
        known = isinstance(node, dict) and (field in node or parents in renamed)
        if not equals or not isinstance(node, dict) or not known:
            raise UserError(f"--set {setting}: the recipe has no '{path}'; see 'edgeser train -h'")
        if field == "name":
            node.clear()  # another loss has other fields
            renamed.append(parents)
        try:
            node[field] = msgspec.json.decode(text)
        except msgspec.DecodeError:
            node[field] = text
    try:
        return msgspec.convert(tree, Recipe)
    except (msgspec.ValidationError, ValueError) as error:
        raise UserError(f"--set: bad recipe: {error}") from error
