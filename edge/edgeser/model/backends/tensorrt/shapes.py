"""The lengths and batches that an engine is built for: those that the runtime asks for."""

from __future__ import annotations

import msgspec

from edgeser.features import FrontEnd
from edgeser.features.pieces import padded_length
from edgeser.model.artefact import ArtefactInfo, Tensor, WindowPolicy
from edgeser.model.network import MAX_BATCH
from edgeser.model.streams import MAX_BLOCKS


class Shapes(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Frames per window, from ``shortest`` to ``longest``, and windows per run, up to ``batch``.

    ``steady``: frames of a full partial window, the most frequent kind; ``usual``: the most windows
    that the daemon runs at once. For a network of streams, windows are blocks, all of one length.
    """

    shortest: int
    steady: int
    longest: int
    batch: int
    usual: int = MAX_BATCH


def shapes_of(info: ArtefactInfo, batch: int) -> Shapes:
    """The shapes of the inputs of ``Model.scores``, with at most ``batch`` windows at once."""
    usual = min(batch, MAX_BATCH if info.streaming is None else MAX_BLOCKS)
    window, front_end = info.window, info.front_end
    if info.streaming is not None:
        block = info.streaming.block_frames
        return Shapes(block, block, block, batch, usual)
    if window.fill:
        always = padded_length(window.frames, window.pad_frames)
        return Shapes(always, always, always, batch, usual)
    steady, longest = (
        padded_length(_frames(window, front_end, seconds), window.pad_frames)
        for seconds in (window.seconds, window.max_seconds)
    )
    return Shapes(window.pad_frames, steady, longest, batch, usual)


def sized(tensor: Tensor, batch: int, frames: int) -> tuple[int, ...]:
    """The shape of an input or output for so many rows of so many frames."""
    sizes = {"batch": batch, "frames": frames}
    return tuple(sizes[n] if isinstance(n, str) else n for n in tensor.shape)


def _frames(window: WindowPolicy, front_end: FrontEnd, seconds: float) -> int:
    """Frames of the longest piece of a window of so many seconds."""
    whole = front_end.frame_count(round(seconds * front_end.sample_rate))
    return whole if window.cut == "whole" else min(whole, window.frames)
