"""Golden vectors: the scores that an artefact must reproduce, computed when it is exported."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import numpy as np

from edgeser.features import FrontEnd, WindowPolicy
from edgeser.features.frames import raw_frames
from edgeser.features.front_end import Floats
from edgeser.features.pieces import Lengths, batch_of, pieces_of
from edgeser.model.artefact import Golden
from edgeser.model.decision import probability, softmax
from edgeser.model.golden import waveform
from edgeser.pcm import Samples

GOLDEN = ((1, 1.0), (2, 2.5), (3, 4.0), (4, 7.0))
"""Seed and seconds of each golden vector."""

Network = Callable[[Floats, Lengths], Floats]
"""(batch, frames, width) and (batch,) -> logits (batch, labels)."""


def golden_vectors(
    network: Network, front_end: FrontEnd, window: WindowPolicy, temperature: float, labels: int
) -> list[Golden]:
    """Calibrated scores of the test sounds, each one window; if the network has one more logit than
    ``labels``, with its probability of noise.
    """
    vectors = []
    for seed, seconds in GOLDEN:
        logits = sound_logits(network, waveform(seed, seconds), front_end, window)
        golden = scored(seed, seconds, logits[:labels], temperature)
        if len(logits) > labels:
            golden = msgspec.structs.replace(golden, noise=round(probability(logits[labels]), 6))
        vectors.append(golden)
    return vectors


def golden_pieces(front_end: FrontEnd, window: WindowPolicy) -> list[Floats]:
    """Features (frames, width) of the pieces of all test sounds."""
    return [
        piece
        for seed, seconds in GOLDEN
        for piece in pieces_of(raw_frames(waveform(seed, seconds), front_end), front_end, window)
    ]


def sound_logits(
    network: Network, sound: Samples, front_end: FrontEnd, window: WindowPolicy
) -> Floats:
    """Logits (labels,) of a sound as one window: the mean of those of its pieces."""
    pieces = pieces_of(raw_frames(sound, front_end), front_end, window)
    features, frames = batch_of(pieces, window.pad_frames)
    mean: Floats = network(features, frames).mean(axis=0)
    return mean


def scored(seed: int, seconds: float, logits: Floats, temperature: float) -> Golden:
    """A golden vector of logits (labels,)."""
    scores = softmax(logits.astype(np.float64) / temperature)
    return Golden(seed, seconds, [round(float(score), 6) for score in scores])
