"""What runs a graph: one small protocol, one file per backend."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import numpy as np
import numpy.typing as npt

from edgeser.features.front_end import Floats


class Backend(Protocol):
    """A loaded graph."""

    name: str
    """What really runs it, e.g. ``onnxruntime/CPU``."""

    tolerance: float
    """Largest difference of a score to its golden value that is no fault."""

    batch_frames: int
    """Padded frames, all of a batch together, from which on larger batches are not faster."""

    together: int
    """Windows that ``Model.verify`` also runs as one batch, where a batch is run in another way
    than a window alone; 0 where it is not."""

    mend: str
    """What to do where its scores are not the golden ones."""

    inputs: list[str]
    outputs: list[str]
    metadata: dict[str, str]
    """The graph's own metadata."""

    def run(self, features: Floats, frames: npt.NDArray[np.int64]) -> Floats:
        """``features`` (batch, frames, width), ``frames`` (batch,) -> logits (batch, labels), and
        after them a column for noise, where the graph knows any.

        Of a network of windows.
        """
        ...

    def hear(self, features: Floats, state: Floats) -> tuple[Floats, Floats, Floats]:
        """``features`` (batch, block_frames, width), ``state`` (batch, state) -> votes (batch,
        steps, labels, and one for noise likewise), weights (batch, steps) and the next state
        (batch, state).

        Of a network of streams.
        """
        ...


def beside_noise(name: str, outputs: Mapping[str, Floats]) -> Floats:
    """The graph's output of that name, (..., labels), and after it ``noise``, if it has that."""
    if "noise" not in outputs:
        return outputs[name]
    return np.concatenate((outputs[name], outputs["noise"]), axis=-1)
