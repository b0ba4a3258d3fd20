"""The mean logits of a voice, subtracted from those of one of its windows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import msgspec
import numpy as np
from msgspec import Meta

from edgeser.features.baseline import Baseline
from edgeser.features.filters import Floats


@dataclass(frozen=True, slots=True, eq=False)
class LogitBaseline:
    """The mean logits that a model gives a voice. ``model``: SHA-256 of its file."""

    model: str
    logits: Baseline


class Centring(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How logits are centred by voice.

    To a network, each voice has a bias: it always sounds a little sad, say, or a little angry. So
    the voice's mean logits are subtracted, and ``prior`` (labels,) is added: the logits of a voice
    in its everyday mood. The mean is shrunk towards the prior, which counts like ``own_frames``
    frames of speech. A mean of more than ``most_frames`` forgets the oldest speech.

    A model is right more often for voices that it knows. So logits are scaled by ``known_scale``
    for a well-known voice, and proportionally less for one known less well. The artefact's
    temperature is fitted to unknown voices.

    ``stranger_shift`` (labels,), if any, is added to the logits of unknown voices, for labels that
    they get too rarely, and proportionally less the better the voice is known.

    Network and prior are trained with centring (Recipe.episodes); other models have none.
    """

    prior: list[float]
    own_frames: Annotated[int, Meta(ge=1)]
    most_frames: Annotated[int, Meta(ge=1)]
    known_scale: Annotated[float, Meta(gt=0)] = 1.0
    stranger_shift: list[float] = []

    def check(self, labels: int) -> None:
        """Raises ValueError if the vectors do not have one value for each label."""
        if len(self.prior) != labels or len(self.stranger_shift) not in (0, labels):
            raise ValueError("centring: expected a logit for each label")

    def centred(self, logits: Floats, baseline: Baseline) -> Floats:
        """Logits (labels,) of a window, centred. ``baseline``: the mean logits of the voice."""
        weight = np.float32(baseline.weight(self.own_frames))
        prior = np.array(self.prior, np.float32)
        scale = np.float32(1 + (self.known_scale - 1) * weight)
        shifted: Floats = scale * (logits - weight * (baseline.mean - prior))
        if self.stranger_shift:
            shifted += (1 - weight) * np.array(self.stranger_shift, np.float32)
        return shifted

    def updated(self, baseline: Baseline, logits: Floats, frames: int) -> Baseline:
        """The mean logits after one more window of so many frames, which got ``logits``."""
        return baseline.updated(Baseline(logits, frames), self.most_frames)
