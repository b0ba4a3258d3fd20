"""A recipe: every choice that makes a model from a corpus, as data."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from edgeser.errors import UserError
from edgeser.features import FrontEnd
from edgeser.model.artefact import WindowPolicy
from edgeser_train.models import ModelConfig, build, class_named, class_of
from edgeser_train.sound.augment import SpectrogramAugmentation, WaveformAugmentation
from edgeser_train.training.loss import Distillation, Loss
from edgeser_train.training.losses import LOSSES
from edgeser_train.training.precision import PrecisionChoice
from edgeser_train.training.voices import BaselineDraw, Episodes

if TYPE_CHECKING:
    from edgeser_train.models.speech_model import SpeechModel

_LARGEST_BATCH = 65_536


class Optimiser(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How weights are updated.

    The learning rate rises linearly over ``warm_up`` (share of all steps), then stays
    (``constant``), falls along a cosine to 0 (``cosine``), or is multiplied by ``decay`` at the
    start of each of the epochs ``milestones``, counted from 1 (``steps``). ``momentum`` is
    Nesterov's, of ``sgd`` only.

    Pretrained weights (``SpeechModel.pretrained``) stay fixed for the share ``pretrained_after`` of
    all steps, so that the randomly initialised ones do not spoil them (Kumar et al. 2022). Then
    they are trained at ``pretrained_rate`` times the learning rate, with a warm-up and a cosine of
    their own over the remaining steps; milestones are the same for all. Their gradients count from
    the first step: in the moments of ``method``, and in ``clip_norm``.
    """

    method: Literal["adamw", "adam", "sgd", "adadelta"] = "adamw"
    learning_rate: float = 2e-3
    weight_decay: float = 0.02
    momentum: float = 0.9
    schedule: Literal["constant", "cosine", "steps"] = "cosine"
    warm_up: float = 0.1
    milestones: tuple[int, ...] = ()
    decay: float = 0.1
    pretrained_rate: float = 1.0
    pretrained_after: float = 0.0

    def __post_init__(self) -> None:
        if not (0 < self.pretrained_rate <= 1 and 0 <= self.pretrained_after < 1):
            raise ValueError("need pretrained_rate in (0, 1], pretrained_after in [0, 1)")
        if not (0 < self.learning_rate <= 1e30 and 0 <= self.warm_up <= 1):
            raise ValueError("need learning_rate > 0, at most 1e30, and warm_up in [0, 1]")
        if not 0 <= self.weight_decay <= 1e30:
            raise ValueError("need weight_decay from 0 to 1e30")
        if not 0 <= self.momentum < 1 or self.decay <= 0 or min(self.milestones, default=1) < 1:
            raise ValueError("need momentum in [0, 1), decay > 0, milestones from 1")


class Recipe(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How a model is trained.

    ``variants`` copies of each utterance are kept (the first one as recorded), each of them once
    more for every analysis window of ``stft_windows`` (samples; as Kim and Kwon augment). A batch
    holds random crops of one of the lengths ``crop_frames``; if that is empty, of each utterance a
    random one of the pieces that ``window`` cuts. ``waveform`` and ``spectrogram`` are None for no
    augmentation; a front end that gives samples takes no ``spectrogram``.

    The weights used are those of the last epoch, or with ``patience`` those of the epoch with the
    best UA on the validation part, and training ends when that many epochs brought none better.
    With ``ema_decay`` they are the exponential moving average. ``accumulate`` batches make a step.
    ``precision`` "auto" is bf16 where the processor supports it, else fp32.

    ``copies_of``: whether every utterance is varied in its own way, or all of a voice in the same
    way, as one speaker in one room. ``balanced`` draws corpora, classes and speakers evenly, with
    replacement; ``examples`` is then how many make an epoch, 0 for as many as there are.
    ``baselines``: how baselines are drawn, where the front end normalises by voice, and how much of
    a voice is known in episodes.
    ``episodes``: batches of several utterances of few voices each, whose logits are centred by
    voice; it needs ``baselines`` and ``balanced``, which then draws corpora and speakers.
    """

    model: ModelConfig
    front_end: FrontEnd
    window: WindowPolicy
    loss: Loss
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
    precision: PrecisionChoice = "auto"
    copies_of: Literal["utterance", "voice"] = "utterance"
    balanced: bool = False
    examples: int = 0
    baselines: BaselineDraw | None = None
    episodes: Episodes | None = None

    def __post_init__(self) -> None:
        if min(self.epochs, self.batch, self.variants, self.accumulate) < 1:
            raise ValueError("epochs, batch, variants and accumulate must be at least 1")
        if max(self.batch, self.accumulate) > _LARGEST_BATCH:
            raise ValueError(f"batch and accumulate must be at most {_LARGEST_BATCH}")
        if self.examples < 0 or (self.examples and not self.balanced):
            raise ValueError("examples must be at least 0, and 0 unless balanced")
        of_sound = self.episodes is not None and not self.front_end.spectral
        if self.baselines and not (self.front_end.learns_voices or of_sound):
            raise ValueError(
                "baselines need front_end.normalise 'voice', or episodes of a waveform"
            )
        if self.episodes is not None and not (self.baselines and self.balanced):
            raise ValueError("episodes need baselines and balanced")
        if self.episodes is not None and self.spectrogram is not None and self.spectrogram.mixup:
            raise ValueError("episodes and spectrogram.mixup exclude each other")
        if self.clip_norm < 0 or self.patience < 0:
            raise ValueError("clip_norm and patience must be at least 0, which means none")
        shortest = class_of(self.model).min_frames
        if min(self.crop_frames, default=shortest) < shortest:
            raise ValueError(f"crop_frames must be at least {shortest}")
        if self.window.cut != "whole" and self.window.frames < shortest:
            raise ValueError(f"window.frames must be at least {shortest}")
        if self.front_end.streams and self.window.cut != "whole":
            raise ValueError("front_end.normalise 'onset' needs window.cut 'whole'")
        if self.spectrogram is not None and not self.front_end.spectral:
            raise ValueError("a waveform takes no spectrogram augmentation; set spectrogram=null")
        if self.spectrogram is not None and self.spectrogram.mel_mask > self.front_end.width:
            raise ValueError(f"spectrogram.mel_mask must be at most {self.front_end.width}")
        if not 0 <= self.ema_decay < 1:
            raise ValueError("ema_decay must be in [0, 1)")
        if self.front_end.width != self.model.width:
            raise ValueError(
                f"front_end gives {self.front_end.width} features a frame, the model takes "
                f"{self.model.width}"
            )
        if self.stft_windows:
            _ = self.front_ends

    @property
    def front_ends(self) -> list[FrontEnd]:
        """Its own front end, then those of the other analysis windows."""
        own = self.front_end
        others = (w for w in self.stft_windows if w != own.window)
        return [
            own,
            *(msgspec.structs.replace(own, window=w, lookback=w - own.hop) for w in others),
        ]

    @property
    def name(self) -> str:
        """The model's name."""
        return self.model.name

    def network(self) -> SpeechModel:
        """The network to train, freshly initialised; with a ``prior`` if it learns in episodes."""
        model = build(self.model)
        if self.episodes is not None:
            model.centre(self.model.labels)
        return model

    @property
    def fingerprint(self) -> str:
        """A digest, equal for equal recipes."""
        return hashlib.sha256(msgspec.json.encode(self)).hexdigest()[:16]


def by_name(kind: type, raw: object) -> object:
    """msgspec's ``dec_hook`` for types that hold a recipe: decodes a model or loss by its ``name``.

    Raises UserError for an unknown name, ValueError for anything else that is wrong.
    """
    if kind not in (ModelConfig, Loss):
        raise NotImplementedError(kind)
    what = "model" if kind is ModelConfig else "loss"
    if not isinstance(raw, dict) or not isinstance(raw.get("name"), str):
        raise ValueError(f"{what}: expected an object with a name")
    if kind is ModelConfig:
        chosen: type = class_named(raw["name"], what).config_type
    else:
        chosen = LOSSES.named(raw["name"], what)
        if not issubclass(chosen, msgspec.Struct) or chosen.__struct_config__.tag != raw["name"]:
            raise UserError(
                f"loss '{raw['name']}': {chosen.__name__} is no msgspec.Struct of that tag",
                f"make it one, with tag_field='name' and tag='{raw['name']}'",
            )
    try:
        return msgspec.convert(raw, chosen)
    except msgspec.ValidationError as error:
        raise ValueError(f"{what} {raw['name']}: {error}") from error


def changed(recipe: Recipe, settings: Iterable[str]) -> Recipe:
    """The recipe with ``field=value`` settings applied; a dot reaches into a part.

    Values are JSON, or plain text. A new ``name``, or a part as a whole (``spectrogram={}``), sets
    that part to its defaults, and further settings may change its fields. Raises UserError that
    names a bad setting and lists the valid ones.
    """
    tree = msgspec.to_builtins(recipe)
    fresh: list[list[str]] = []
    for setting in settings:
        path, equals, text = setting.partition("=")
        if not equals:
            raise UserError(f"--set {setting}: it has no value", f"write {setting}=VALUE")
        names = path.split(".")
        part = _part_with(names, tree, fresh, f"--set {setting}")
        try:
            value = msgspec.json.decode(text)
        except msgspec.DecodeError:
            value = text
        if names[-1] == "name":
            part.clear()  # another loss has other fields
            fresh.append(names[:-1])
        elif isinstance(value, dict):
            fresh.append(names)
        part[names[-1]] = value
    try:
        return msgspec.convert(tree, Recipe, dec_hook=by_name)
    except (msgspec.ValidationError, ValueError) as error:
        raise UserError(f"--set: bad recipe: {error}") from error


def _part_with(names: list[str], tree: Any, fresh: list[list[str]], where: str) -> dict[str, Any]:
    """The part of a recipe that has the field at that path; a ``fresh`` part may have any field."""
    part: dict[str, Any] = {}
    node = tree
    for depth, name in enumerate(names):
        above = ".".join(names[:depth])
        if node is None:
            raise UserError(f"{where}: {above} is null", f"put --set {above}={{}} in front of it")
        if not isinstance(node, dict):
            raise UserError(f"{where}: {above} is {node}, which has no fields")
        if name not in node and names[:depth] not in fresh:
            what = above or "the recipe"
            raise UserError(f"{where}: {what} has no '{name}'", f"there is: {', '.join(node)}")
        part, node = node, node.get(name)
    return part
