"""How a network takes speech: the small protocol that hearing, backlog and decision are built on.

Two kinds keep it. A network of *windows* (``windows``) takes each window by itself; a network of
*streams* (``streams``) takes every frame of a segment once, and a window is a span of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol, TypeAlias

from edgeser.features import Baseline, FrameStream
from edgeser.features.front_end import Floats
from edgeser.features.pieces import Pieces
from edgeser.model.track import Span

Speech: TypeAlias = Pieces | Span
"""A window on its way to its network: the features of its pieces, or a span of a segment's track.
"""

MAX_BATCH = 16
"""Pieces that the daemon runs at once: more would make the first wait for the last."""


class Answer(NamedTuple):
    """What a network makes of a window.

    ``logits``: (labels,), all of the model's. ``noise``: how probable it is that this is noise;
    None of a model that does not know noise.
    """

    logits: Floats
    noise: float | None


class Segment(Protocol):
    """A segment of speech as its network takes it, for the thread that hears."""

    @property
    def baseline(self) -> Baseline:
        """Of the voice, as it was known when the segment began."""
        ...

    def window(self, frames: FrameStream, start: int, end: int) -> Speech:
        """The samples [start, end) of the stream, within the segment; each ends later, if not with
        the segment.
        """
        ...


class Network(Protocol):
    """A loaded graph and what it takes."""

    def segment(self, start: int, baseline: Baseline) -> Segment:
        """The segment that begins at the sample ``start``, on the front end's grid."""
        ...

    def logits(self, windows: Sequence[Speech]) -> Floats:
        """Of windows, (windows, all of its logits), as far as it can in one batch. A window's
        logits do not depend on its neighbours.
        """
        ...

    def rows(self, window: Speech) -> int:
        """Rows of a batch that a window takes."""
        ...

    def row_frames(self, window: Speech) -> int:
        """Frames of such a row, padding included; windows of the same can share a batch."""
        ...
