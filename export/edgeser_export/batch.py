"""Pieces of features as one batch."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from edgeser.features.front_end import Floats

Ints = npt.NDArray[np.int64]


def batch_of(pieces: Sequence[Floats], pad_frames: int = 1) -> tuple[Floats, Ints]:
    """Pieces (frames, width) as (pieces, frames, width), and their lengths.

    Padded with zeros to the longest, and to a multiple of ``pad_frames``, as the runtime does.
    """
    frames = np.array([len(piece) for piece in pieces], np.int64)
    length = -(-int(frames.max()) // pad_frames) * pad_frames
    features = np.zeros((len(pieces), length, pieces[0].shape[1]), np.float32)
    for row, piece in zip(features, pieces, strict=True):
        row[: len(piece)] = piece
    return features, frames
