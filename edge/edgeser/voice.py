"""What is known of one voice: how it usually sounds, and what a model usually says of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import msgspec
import numpy as np
from msgspec import Meta

from edgeser.features.baseline import Baseline, is_possible
from edgeser.model.centring import LogitBaseline
from edgeser.model.model import Model


@dataclass(frozen=True, slots=True, eq=False)
class Voice:
    """What a model has learnt of one voice: means and counts, no sound. Only that model can use it.

    ``model``: SHA-256 of its file. ``spectrum``: the mean of the voice's raw frames. ``logits``:
    what the model usually says of it, None where it has said nothing yet.
    """

    model: str
    spectrum: Baseline
    logits: Baseline | None = None

    @property
    def usual(self) -> LogitBaseline | None:
        """``logits`` with the model that said them."""
        return None if self.logits is None else LogitBaseline(self.model, self.logits)

    def check(self, model: Model) -> None:
        """Raises ValueError unless this model has learnt it."""
        if self.model != model.ref.sha256:
            raise ValueError("another model has learnt this voice; let this one learn it")
        info = model.info
        values = (
            len(self.spectrum.mean),
            len(info.labels if self.logits is None else self.logits.mean),
        )
        if values != (info.front_end.bins, len(info.labels)):
            raise ValueError("this voice is damaged: it has other bands or labels than its model")

    def to_json(self) -> bytes:
        """All of it, to be kept; ``from_json`` gives the same voice again, to the bit."""
        logits = None if self.logits is None else _kept(self.logits)
        return msgspec.json.encode(_Kept(self.model, _kept(self.spectrum), logits))

    @classmethod
    def from_json(cls, content: bytes | str) -> Voice:
        """A voice that was kept. Raises ValueError for anything else."""
        try:
            kept = msgspec.json.decode(content, type=_Kept)
        except (msgspec.MsgspecError, RecursionError) as error:
            raise ValueError(f"no voice: {error}") from error
        logits = None if kept.logits is None else _baseline(kept.logits)
        return cls(kept.model, _baseline(kept.spectrum), logits)


class _KeptMean(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    mean: list[float]
    frames: Annotated[int, Meta(ge=0)]


class _Kept(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    model: str
    spectrum: _KeptMean
    logits: _KeptMean | None


def _kept(baseline: Baseline) -> _KeptMean:
    return _KeptMean(baseline.mean.tolist(), baseline.frames)


def _baseline(kept: _KeptMean) -> Baseline:
    if not is_possible(kept.mean):
        raise ValueError("no voice: a mean is beyond what sound can have")
    return Baseline(np.array(kept.mean, np.float32), kept.frames)
