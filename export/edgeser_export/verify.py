"""Verifies that an ONNX graph computes what the PyTorch model computes."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain

import numpy as np
import torch

from edgeser.errors import UserError
from edgeser.features import FrontEnd, WindowPolicy
from edgeser.features.front_end import Floats
from edgeser.features.pieces import Lengths, batch_of, padded_length
from edgeser.model.artefact import Precision, StreamLayout
from edgeser.onnx_session import open_session
from edgeser_export.golden import Network
from edgeser_export.streaming import streamed
from edgeser_train.models.speech_model import SpeechModel

TOLERANCES: dict[Precision, float] = {"fp32": 1e-4, "fp16": 1e-2, "int8": 0.5}
"""Largest difference of a logit."""

RELATIVE_ABOVE: dict[Precision, float] = {"fp32": 100.0, "fp16": 1.0, "int8": math.inf}
"""For larger logits the difference is relative, as the spacing of floats grows with them."""

_DRAWS = 5
_LARGEST_BATCH = 6


@dataclass(frozen=True)
class Difference:
    """The largest difference of a logit from PyTorch's, and the input that showed it."""

    value: float = 0.0
    where: str = "nowhere"

    def __str__(self) -> str:
        return f"{self.value:.1e} ({self.where})"


def network_of(graph: bytes, layout: StreamLayout | None = None) -> Network:
    """An exported graph as a function, run as the daemon runs it: (batch, frames, width) and
    (batch,) -> logits, followed by that of noise if there is one.
    """
    session = open_session(graph)
    if layout is not None:
        return partial(streamed, session, layout)

    def run(features: Floats, frames: Lengths) -> Floats:
        answers = session.run(None, {"features": features, "frames": frames})
        return np.concatenate(answers, axis=1)

    return run


def verify(
    graph: bytes,
    model: SpeechModel,
    *,
    longest: int = 700,
    precision: Precision = "fp32",
    pieces: Sequence[Floats] = (),
    seed: int = 0,
    layout: StreamLayout | None = None,
) -> Difference:
    """The largest difference of a logit, over fixed and random batches and lengths with padding.

    ``longest``: frames of the longest window that the runtime may send; ``pieces``: real features
    (frames, width), compared as well. Random features are no fair test of int8, whose ranges are
    those of sound; it is compared on ``pieces`` alone. The two get different padding, so a graph
    that depends on it is refused, too. ``layout``: of a streaming network, which gets a piece block
    by block. A noise output is not compared, since a checkpoint has none. Raises UserError above
    the precision's tolerance.
    """
    network = network_of(graph, layout)
    rng = np.random.default_rng(seed)
    batches = _real(rng, pieces)
    if precision != "int8":
        batches = chain(_noise(rng, model, longest), batches)
    worst = Difference()
    for features, frames in batches:
        expected = torch_logits(model, features, frames)
        for row, count in zip(features, frames, strict=True):
            row[count:] = 7.0
        logits = network(features, frames)[:, : expected.shape[1]]
        where = f"batch {len(frames)}, {features.shape[1]} frames"
        found = difference(logits, expected, where, RELATIVE_ABOVE[precision])
        accept(found, TOLERANCES[precision])
        worst = max(worst, found, key=lambda d: d.value)
    return worst


def longest_frames(front_end: FrontEnd, window: WindowPolicy) -> int:
    """Frames of the longest piece that the runtime sends, its padding included."""
    frames = window.frames
    if window.cut == "whole":
        frames = math.ceil(window.max_seconds * front_end.sample_rate / front_end.hop)
    return padded_length(frames, window.pad_frames)


def torch_logits(model: SpeechModel, features: Floats, frames: Lengths) -> Floats:
    """(batch, frames, width) and (batch,) -> (batch, labels), by PyTorch."""
    with torch.inference_mode():
        logits: Floats = model(torch.from_numpy(features), torch.from_numpy(frames)).numpy()
    return logits


def difference(
    logits: Floats, expected: Floats, where: str, relative_above: float = math.inf
) -> Difference:
    """The largest difference of two (batch, labels) arrays; infinite for NaN.

    ``relative_above``: for a larger expected logit the difference is divided by
    |expected| / relative_above.
    """
    if logits.shape != expected.shape:
        return Difference(float("inf"), f"{where}: shape {logits.shape}, not {expected.shape}")
    apart = np.abs(logits - expected) / np.maximum(1, np.abs(expected) / relative_above)
    apart = np.nan_to_num(apart, nan=np.inf)
    row, label = np.unravel_index(int(apart.argmax()), apart.shape)
    return Difference(float(apart.max()), f"{where}, row {row}, logit {label}")


def accept(found: Difference, tolerance: float) -> None:
    """Raises UserError for a difference above ``tolerance``."""
    if not found.value <= tolerance:
        raise UserError(
            f"export: the ONNX graph differs from PyTorch by {found.value:.1e} ({found.where}; "
            f"at most {tolerance:.0e} is accepted)"
        )


def _noise(
    rng: np.random.Generator, model: SpeechModel, longest: int
) -> Iterator[tuple[Floats, Lengths]]:
    """Batches of noise distributed as the features that the model was trained on."""
    centre, spread = model.mean.numpy(), model.std.numpy()
    for batch, length in _shapes(rng, model.min_frames, longest):
        frames = rng.integers(model.min_frames, length + 1, batch)
        frames[0] = length
        noise = rng.standard_normal((batch, length, len(centre)), np.float32)
        yield centre + spread * noise, frames


def _shapes(rng: np.random.Generator, shortest: int, longest: int) -> Iterator[tuple[int, int]]:
    """Batch and padded length of each comparison."""
    longest = max(shortest, longest)
    middle = (shortest + longest) // 2
    yield from ((1, shortest), (1, middle), (4, middle + 1), (1, longest), (4, longest))
    for _ in range(_DRAWS):
        yield int(rng.integers(1, _LARGEST_BATCH + 1)), int(rng.integers(shortest, longest + 1))


def _real(rng: np.random.Generator, pieces: Sequence[Floats]) -> Iterator[tuple[Floats, Lengths]]:
    """The pieces in batches of random size."""
    first = 0
    while first < len(pieces):
        batch = int(rng.integers(1, _LARGEST_BATCH + 1))
        yield batch_of(pieces[first : first + batch])
        first += batch
