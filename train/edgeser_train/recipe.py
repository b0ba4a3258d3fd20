"""A recipe: every choice that makes a model out of a corpus, as data."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

import msgspec

from edgeser.errors import UserError
from edgeser.features import FrontEnd
from edgeser_train.augment import SpectrogramAugmentation, WaveformAugmentation
from edgeser_train.models.lightweight import Lightweight, LightweightConfig


class Recipe(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How the lightweight model is trained.

    ``variants`` copies of each utterance are kept (the first one as recorded); a batch holds
    pieces of one length out of ``crop_frames``. The learning rate rises over ``warm_up`` (share of
    all steps) and falls along a cosine; the weights used are the exponential moving average.
    An utterance over ``max_frames`` is scored on its middle.
    """

    front_end: FrontEnd = FrontEnd(normalise="speech")
    model: LightweightConfig = LightweightConfig(blocks=2, dropout=0.3)
    waveform: WaveformAugmentation = WaveformAugmentation()
    spectrogram: SpectrogramAugmentation = SpectrogramAugmentation()
    variants: int = 16
    crop_frames: tuple[int, ...] = (128, 160, 192)
    epochs: int = 50
    batch: int = 16
    learning_rate: float = 2e-3
    weight_decay: float = 0.02
    warm_up: float = 0.1
    clip_norm: float = 5.0
    label_smoothing: float = 0.1
    ema_decay: float = 0.98
    max_frames: int = 700

    def __post_init__(self) -> None:
        if min(self.epochs, self.batch, self.variants) < 1:
            raise ValueError("epochs, batch and variants must be at least 1")
        if (
            min((*self.crop_frames, self.max_frames), default=0) < Lightweight.min_frames
            or not self.crop_frames
        ):
            raise ValueError(
                f"crop_frames and max_frames must be at least {Lightweight.min_frames}"
            )
        if not (self.learning_rate > 0 and 0 <= self.ema_decay < 1 and 0 <= self.warm_up <= 1):
            raise ValueError("need learning_rate > 0, ema_decay in [0, 1), warm_up in [0, 1]")
        if self.front_end.mels != self.model.mels:
            raise ValueError(
                f"front_end.mels is {self.front_end.mels}, model.mels is {self.model.mels}"
            )

    @property
    def fingerprint(self) -> str:
        """The same for equal recipes."""
        return hashlib.sha256(msgspec.json.encode(self)).hexdigest()[:16]


def changed(recipe: Recipe, settings: Iterable[str]) -> Recipe:
    """The recipe with ``field=value`` settings applied; a dot reaches into a part.

    Values are JSON, or plain text. Raises UserError that names a bad setting.
    """
    tree = msgspec.to_builtins(recipe)
    for setting in settings:
        path, equals, text = setting.partition("=")
        *parents, field = path.split(".")
        node = tree
        for parent in parents:
            node = node.get(parent, {}) if isinstance(node, dict) else {}
        if not equals or not isinstance(node, dict) or field not in node:
            raise UserError(f"--set {setting}: the recipe has no '{path}'; see 'edgeser train -h'")
        try:
            node[field] = msgspec.json.decode(text)
        except msgspec.DecodeError:
            node[field] = text
    try:
        return msgspec.convert(tree, Recipe)
    except (msgspec.ValidationError, ValueError) as error:
        raise UserError(f"--set: bad recipe: {error}") from error
