"""Does an ONNX graph compute what the PyTorch model computes?"""

from __future__ import annotations

import os

import numpy as np
import torch

from edgeser.errors import UserError
from edgeser_train.models.lightweight import Lightweight

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
import onnxruntime as ort

TOLERANCE = 1e-4
SHAPES = ((1, Lightweight.min_frames), (1, 100), (1, 301), (4, 150), (4, 333), (1, 700), (3, 57))
"""Batch and padded length of each comparison; none is the one the export traced."""


def verify(graph: bytes, model: Lightweight, mels: int) -> float:
    """The largest difference of a logit, over several batches and lengths with padding.

    The padding differs between the two, so a graph that looks at it is refused too. Raises
    UserError above ``TOLERANCE``.
    """
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    session = ort.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    rng = np.random.default_rng(0)
    worst = 0.0
    for batch, length in SHAPES:
        frames = rng.integers(Lightweight.min_frames, length + 1, batch)
        frames[0] = length
        centre, spread = model.mean.numpy(), model.std.numpy()
        features = centre + spread * rng.standard_normal((batch, length, mels), np.float32)
        other = features.copy()
        for row, count in enumerate(frames):
            other[row, count:] = 7.0
        with torch.inference_mode():
            expected = model(torch.from_numpy(features), torch.from_numpy(frames)).numpy()
        (logits,) = session.run(None, {"features": other, "frames": frames})
        difference = float(np.abs(np.asarray(logits) - expected).max())
        if not difference <= TOLERANCE:
            raise UserError(
                f"export: the ONNX graph differs from PyTorch by {difference:.1e} "
                f"(batch {batch}, {length} frames; at most {TOLERANCE:.0e} is accepted)"
            )
        worst = max(worst, difference)
    return worst
