"""An open segment for a network of streams: its features block by block, and the network's outputs.

The thread that hears appends blocks and cuts spans; the thread that decides runs blocks, and only
it touches the outputs. A track lives as long as its segment and the windows of it that wait.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from edgeser.features import Baseline, FrameStream, FrontEnd
from edgeser.features.front_end import Floats
from edgeser.features.scaling import Reference
from edgeser.model.artefact import StreamLayout

_HEARD = np.zeros((0, 0), np.float32)
"""Replaces a block that the network has taken."""


class Track:
    """One segment on its way through a network of streams."""

    def __init__(
        self,
        front_end: FrontEnd,
        layout: StreamLayout,
        start: int,
        baseline: Baseline,
    ) -> None:
        """``start``: the segment's first sample. ``baseline``: the voice's, before the segment."""
        self.baseline = baseline
        self.layout = layout
        self._front_end = front_end
        self._start = start
        self._reference: Reference | None = None
        self._blocks: list[Floats] = []
        self.heard = 0
        """Blocks that the network has taken."""
        self.state: Floats = np.zeros(layout.state, np.float32)
        """The network's state after them."""
        self._sums: list[npt.NDArray[np.float64]] = []

    def window(self, frames: FrameStream, start: int, end: int) -> Span:
        """The span of the samples [start, end).

        Once the segment is long enough for its reference to be known, each frame is computed once.
        """
        hop, spec, layout = self._front_end.hop, self._front_end, self.layout
        count = (end - self._start) // hop
        if count < spec.own_frames and self._reference is None:
            alone = self.whole(frames.frames(self._start, end))
            return replace(alone, first=self._first_step((start - self._start) // hop, alone.last))
        if self._reference is None:
            first = frames.frames(self._start, self._start + spec.own_frames * hop)
            self._reference = spec.reference(first, self.baseline)
        known = len(self._blocks) * layout.block_frames
        rest = None
        if count > known:
            raw = frames.frames(self._start + known * hop, end)
            rest = self._cut(spec.against(self._reference, raw))
        return self._span((start - self._start) // hop, count, rest)

    def whole(self, raw: Floats) -> Span:
        """Raw frames (n, bins) as a whole segment of their own."""
        spec, layout = self._front_end, self.layout
        missing = layout.step_frames - len(raw)
        if missing > 0:  # it ends in silence
            quiet = np.full((missing, raw.shape[1]), spec.silence, np.float32)
            raw = np.concatenate((raw, quiet))
        return self.of(spec.normalised(raw, self.baseline))

    def of(self, features: Floats) -> Span:
        """Features (n, width), at least a step, as a segment of their own."""
        track = Track(self._front_end, self.layout, 0, self.baseline)
        rest = track._cut(features)
        return track._span(0, len(features), rest)

    def next_block(self) -> Floats:
        """Features (block_frames, width) of the block that the network takes next."""
        return self._blocks[self.heard]

    def take(self, votes: Floats, weights: Floats, state: Floats) -> None:
        """Take the outputs for ``next_block``: votes (steps, labels), weights (steps,), and the
        next state."""
        self._sums += _running(votes, weights, self._sums)
        self.state = state
        self._blocks[self.heard] = _HEARD
        self.heard += 1

    def logits(
        self, span: Span, votes: Floats | None = None, weights: Floats | None = None
    ) -> Floats:
        """Logits (labels,) of a span: the weighted mean of its steps' votes.

        ``votes``, ``weights``: the outputs for its ``rest``, if it has one.
        """
        sums = self._sums
        if votes is not None and weights is not None:
            sums = sums + _running(votes, weights, sums)
        total = sums[span.last - 1]
        if span.first:
            total = total - sums[span.first - 1]
        mean: Floats = (total[:-1] / total[-1]).astype(np.float32)
        return mean

    def _span(self, first: int, last: int, rest: Floats | None) -> Span:
        """The span between two frames of the segment; ``rest``: frames not yet in a whole block."""
        step, size = self.layout.step_frames, self.layout.block_frames
        last_step = max(1, last // step)  # a segment may be shorter than a step
        first_step = self._first_step(first, last_step)
        blocks = len(self._blocks) if rest is not None else -(-last_step * step // size)
        return Span(self, first_step, last_step, blocks, rest)

    def _first_step(self, frame: int, last_step: int) -> int:
        """The first step that begins at or after a frame, in a span of at least one step."""
        return min(-(-frame // self.layout.step_frames), last_step - 1)

    def _cut(self, features: Floats) -> Floats | None:
        """Append the whole blocks of the next frames; return the remainder, padded to a block."""
        size = self.layout.block_frames
        whole = len(features) // size * size
        self._blocks += [features[first : first + size] for first in range(0, whole, size)]
        if whole == len(features):
            return None
        rest = np.zeros((size, features.shape[1]), np.float32)
        rest[: len(features) - whole] = features[whole:]
        return rest


@dataclass(frozen=True, eq=False, slots=True)
class Span:
    """A window of a track: its steps [first, last).

    ``blocks``: how many of the track's blocks must have been run. ``rest``: the frames after those,
    (block_frames, width) with any padding, whose outputs are used for this window only.
    """

    track: Track
    first: int
    last: int
    blocks: int
    rest: Floats | None

    @property
    def only_rest_is_due(self) -> bool:
        """Only the rest has still to be run."""
        return self.rest is not None and self.track.heard == self.blocks

    @property
    def is_due(self) -> bool:
        """Some block has still to be run."""
        return self.track.heard < self.blocks or self.only_rest_is_due

    def next_block(self) -> Floats:
        """Features (block_frames, width) of the block to run next."""
        if self.rest is not None and self.only_rest_is_due:
            return self.rest
        return self.track.next_block()


def _running(
    votes: Floats, weights: Floats, before: list[npt.NDArray[np.float64]]
) -> list[npt.NDArray[np.float64]]:
    """Running sums of weighted votes and of weights at each step, (labels + 1,) each."""
    weighted = votes.astype(np.float64) * weights[:, None]
    sums = np.concatenate((weighted, weights[:, None]), axis=1).cumsum(axis=0)
    return list(sums + before[-1] if before else sums)
