"""What a model usually says of a voice, taken off what it says of one window of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import msgspec
import numpy as np
from msgspec import Meta

from edgeser.features.baseline import Baseline
from edgeser.features.filters import Floats


@dataclass(frozen=True, slots=True, eq=False)
class Usual:
    """What a model, by the SHA-256 of its file, usually says of a voice: the mean logits."""

    model: str
    logits: Baseline


class Centring(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How logits are centred by voice.

    To a network every stranger sounds a little sad or a little angry, always. So the mean of the
    logits of all that a voice said is taken off, and ``prior`` (labels,) put in its place: what a
    voice in its everyday mood gets. That mean is shrunk towards the prior, which counts like
    ``own_frames`` frames of speech; a mean of more than ``most_frames`` forgets what is oldest.

    Of a voice that it knows a model is right more often. So logits count ``known_scale`` times as
    much for one that is known well, and in proportion for one known less; the temperature of the
    artefact is right for a voice of which nothing is known.

    What is hardly ever said of a voice never met gets ``stranger_shift`` (labels,) in logits, if
    there is such a thing, and in proportion less the better the voice is known.

    Network and prior are trained that way (Recipe.episodes); a model that was not has no centring.
    """

    prior: list[float]
    own_frames: Annotated[int, Meta(ge=1)]
    most_frames: Annotated[int, Meta(ge=1)]
    known_scale: Annotated[float, Meta(gt=0)] = 1.0
    stranger_shift: list[float] = []

    def check(self, labels: int) -> None:
        """Raises ValueError for what does not fit so many labels."""
        if len(self.prior) != labels or len(self.stranger_shift) not in (0, labels):
            raise ValueError("centring: expected a logit for each label")

    def centred(self, logits: Floats, usual: Baseline) -> Floats:
        """Logits (labels,) of a window of a voice whose ``usual`` logits are these."""
        weight = np.float32(usual.weight(self.own_frames))
        prior = np.array(self.prior, np.float32)
        scale = np.float32(1 + (self.known_scale - 1) * weight)
        shifted: Floats = scale * (logits - weight * (usual.mean - prior))
        if self.stranger_shift:
            shifted += (1 - weight) * np.array(self.stranger_shift, np.float32)
        return shifted

    def with_more(self, usual: Baseline, logits: Floats, frames: int) -> Baseline:
        """The usual logits after one more stretch of so many frames, which got ``logits``."""
        return usual.with_more(Baseline(logits, frames), self.most_frames)
