"""Cuts a window into the pieces that a network takes; their mean logits are the window's."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal, TypeAlias

import msgspec
import numpy as np
import numpy.typing as npt
from msgspec import Meta

from edgeser.features.baseline import Baseline
from edgeser.features.front_end import Floats, FrontEnd

Pieces: TypeAlias = list[Floats]
"""The features of one window's pieces, each (frames, width), all of one length."""

Lengths: TypeAlias = npt.NDArray[np.int64]
"""How many frames of each piece count, (pieces,)."""

Seconds = Annotated[float, Meta(gt=0, le=60)]
Count = Annotated[int, Meta(ge=0, le=10_000)]
"""Bounds far beyond any model's, so that an artefact cannot ask for more memory than there is."""


class WindowPolicy(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How speech is cut for the model.

    ``seconds``: length of a partial window once so much was spoken; ``min_seconds``: the shortest
    partial; ``max_seconds``: the longest final; ``pad_frames``: lengths are padded up to a multiple
    of this many frames, so that the backend sees a small fixed set of shapes.

    ``cut``: what of a window the network sees, and how often:

    * ``whole``: all of it, once
    * ``centre``: its middle ``frames`` frames, once; with ``fill`` a shorter window lies in the
      middle of ``frames`` frames of silence
    * ``segments``: pieces of ``frames`` every ``hop_frames`` from its beginning, and one that ends
      with it when a rest is left; a window that is no longer than a piece is one piece
    """

    seconds: Seconds = 3.0
    min_seconds: Seconds = 1.0
    max_seconds: Seconds = 7.0
    pad_frames: Annotated[int, Meta(ge=1, le=10_000)] = 50
    cut: Literal["whole", "centre", "segments"] = "whole"
    frames: Count = 0
    hop_frames: Count = 0
    fill: bool = False

    def __post_init__(self) -> None:
        if self.cut != "whole" and self.frames < 1:
            raise ValueError(f"window: the cut '{self.cut}' needs frames >= 1")
        if self.cut == "segments" and not 1 <= self.hop_frames <= self.frames:
            raise ValueError(
                f"window: need 1 <= hop_frames <= frames, got {self.hop_frames} and {self.frames}"
            )
        if self.fill and self.cut != "centre":
            raise ValueError("window: fill goes with the cut 'centre' only")


def spans(frames: int, policy: WindowPolicy) -> list[slice]:
    """The frames of every piece of a window of ``frames`` frames, before it is filled up."""
    if policy.cut == "whole" or frames <= policy.frames:
        return [slice(0, frames)]
    if policy.cut == "centre":
        first = (frames - policy.frames) // 2
        return [slice(first, first + policy.frames)]
    starts = list(range(0, frames - policy.frames + 1, policy.hop_frames))
    if starts[-1] + policy.frames < frames:
        starts.append(frames - policy.frames)
    return [slice(start, start + policy.frames) for start in starts]


def pieces_of(
    frames: Floats, front_end: FrontEnd, policy: WindowPolicy, baseline: Baseline | None = None
) -> Pieces:
    """The features of every piece of one window: raw frames (n, bins) -> [(frames, width), ...].

    Each piece is normalised by itself, against the voice's ``baseline`` where there is one.
    """
    pieces = (frames[span] for span in spans(len(frames), policy))
    if policy.fill:
        pieces = (_filled(piece, policy.frames, front_end.silence) for piece in pieces)
    return [front_end.normalised(piece, baseline) for piece in pieces]


def batch_of(pieces: Sequence[Floats], multiple: int = 1) -> tuple[Floats, Lengths]:
    """Pieces (n, width) as one array (pieces, frames, width), and their lengths (pieces,).

    Padded at the end with zeros to the longest, and to a multiple of ``multiple`` frames.
    """
    lengths = np.array([len(piece) for piece in pieces], np.int64)
    frames = padded_length(int(lengths.max()), multiple)
    batch = np.zeros((len(pieces), frames, pieces[0].shape[1]), np.float32)
    for row, piece in zip(batch, pieces, strict=True):
        row[: len(piece)] = piece
    return batch, lengths


def padded_length(frames: int, multiple: int) -> int:
    """The least multiple of ``multiple`` that holds so many frames."""
    return -(-frames // multiple) * multiple


def _filled(frames: Floats, length: int, silence: float) -> Floats:
    missing = length - len(frames)
    if missing <= 0:
        return frames
    filled: Floats = np.full((length, frames.shape[1]), silence, np.float32)
    filled[missing // 2 : missing // 2 + len(frames)] = frames
    return filled
