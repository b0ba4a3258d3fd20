"""The protocol of backends, which run graphs; each has a file of its own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import numpy as np
import numpy.typing as npt

from edgeser.features.front_end import Floats


class Backend(Protocol):
    """A loaded graph."""

    name: str
    """What actually runs it, e.g. ``onnxruntime/CPU``."""

    tolerance: float
    """Largest acceptable difference of a score from its golden value, if that is more than the
    artefact's own precision allows (``TOLERANCE`` of ``model``)."""

    batch_frames: int
    """Padded frames in a batch beyond which larger batches are not faster."""

    verify_batch: int
    """Windows that ``Model.verify`` also runs as one batch, if the backend runs batches by another
    path than single windows; 0 if it does not."""

    fix: str
    """What a user can do if its scores are not the golden ones."""

    inputs: list[str]
    outputs: list[str]
    metadata: dict[str, str]
    """The graph's own metadata."""

    def run(self, features: Floats, frames: npt.NDArray[np.int64]) -> Floats:
        """A batch of windows, for a network of windows.

        ``features`` (batch, frames, width), ``frames`` (batch,) -> logits (batch, labels), followed
        by a column for noise if the graph has one.
        """
        ...

    def step(self, features: Floats, state: Floats) -> tuple[Floats, Floats, Floats]:
        """The next block of each row, for a network of streams.

        ``features`` (batch, block_frames, width), ``state`` (batch, state) -> votes (batch, steps,
        labels, followed by noise if the graph has it), weights (batch, steps) and the next state
        (batch, state).
        """
        ...


def beside_noise(name: str, outputs: Mapping[str, Floats]) -> Floats:
    """The graph's output of that name, (..., labels), followed by ``noise`` if it has that."""
    if "noise" not in outputs:
        return outputs[name]
    return np.concatenate((outputs[name], outputs["noise"]), axis=-1)
