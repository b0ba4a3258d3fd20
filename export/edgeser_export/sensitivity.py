"""Which layers must not be quantised: measured on calibration pieces, never on test data."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np

from edgeser.errors import UserError
from edgeser.features.front_end import Floats
from edgeser.features.pieces import batch_of
from edgeser.onnx_session import open_session
from edgeser_export.quantise import Quantiser

MAX_ERROR = 0.05
"""Root mean square error of a logit up to which no layer is left unquantised."""


class Sensitivity(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What quantising does to the logits of the calibration pieces.

    ``error``: root mean square difference from the unquantised graph with every layer quantised.
    ``without``: that with one layer left unquantised, measured if ``error`` is above ``MAX_ERROR``.
    ``left_alone``: the layers left unquantised, the most harmful first. ``remaining``: the error
    then.
    """

    pieces: int
    error: float
    without: dict[str, float]
    left_alone: list[str]
    remaining: float


def measured(
    graph: Any, pieces: Sequence[Floats], pad_frames: int, *, symmetric: bool = False
) -> tuple[Any, Sensitivity]:
    """The graph in integers, except its sensitive layers, and what was measured to make it.

    Raises UserError without pieces.

    ``pieces``: features (frames, width) of windows of the training part; ``pad_frames``: as in the
    window policy; ``symmetric``: as TensorRT requires, see ``Quantiser.calibrated``.
    """
    if not len(pieces):
        raise UserError("export: int8 needs windows of the training part to calibrate on")
    quantiser = Quantiser.calibrated(graph, pieces, pad_frames=pad_frames, symmetric=symmetric)
    expected = logits_of(graph, pieces, pad_frames)

    def error(left_alone: Sequence[str]) -> float:
        found = logits_of(quantiser.quantised(left_alone), pieces, pad_frames)
        return float(np.sqrt(np.mean((found - expected) ** 2)))

    left_alone: list[str] = []
    whole = remaining = error(left_alone)
    without = {layer: error([layer]) for layer in quantiser.layers} if whole > MAX_ERROR else {}
    for layer in sorted(without, key=without.__getitem__):
        if remaining <= MAX_ERROR:
            break
        left_alone.append(layer)
        remaining = error(left_alone)
    result = Sensitivity(len(pieces), whole, without, left_alone, remaining)
    return quantiser.quantised(left_alone), result


def logits_of(graph: Any, pieces: Sequence[Floats], pad_frames: int) -> Floats:
    """Logits (pieces, labels) of pieces one by one."""
    session = open_session(graph.SerializeToString())
    rows = []
    for piece in pieces:
        features, frames = batch_of([piece], pad_frames)
        (logits,) = session.run(["logits"], {"features": features, "frames": frames})
        rows.append(logits[0])
    return np.stack(rows)
