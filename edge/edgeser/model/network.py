"""How a network takes speech: the protocol that hearing, backlog and decision are built on.

It has two implementations. A network of *windows* (``windows``) takes each window by itself; a
network of *streams* (``streams``) takes each frame of a segment once, and a window is a span of it.
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
"""Most pieces that the daemon runs at once: in a larger batch the first waits too long."""


class Answer(NamedTuple):
    """The output of a network for a window.

    ``logits``: (labels,), all of the model's. ``noise``: the probability that the window is noise;
    None for a model without that output.
    """

    logits: Floats
    noise: float | None


class Segment(Protocol):
    """A segment of speech on its way to a network, for the thread that hears."""

    @property
    def baseline(self) -> Baseline:
        """The baseline of the voice when the segment began."""
        ...

    def window(self, frames: FrameStream, start: int, end: int) -> Speech:
        """The window of the samples [start, end) of the stream, within the segment.

        Each partial has a later ``end`` than the one before; the final may end before them.
        """
        ...


class Network(Protocol):
    """A loaded graph and what it takes."""

    def segment(self, start: int, baseline: Baseline) -> Segment:
        """The segment that begins at the sample ``start``, on the front end's grid."""
        ...

    def logits(self, windows: Sequence[Speech]) -> Floats:
        """Logits of windows, (windows, all of its logits), in as few batches as possible.

        Apart from rounding, a window's logits do not depend on the others; in a network of streams
        they do not depend on them at all.
        """
        ...

    def rows(self, window: Speech) -> int:
        """How many rows of a batch a window takes."""
        ...

    def row_frames(self, window: Speech) -> int:
        """Frames of such a row, padding included; windows with equal rows can share a batch."""
        ...
