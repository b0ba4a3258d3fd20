"""Networks that take each window as a whole, in the pieces that the window policy cuts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from edgeser.features import Baseline, FrameStream, FrontEnd, WindowPolicy
from edgeser.features.front_end import Floats
from edgeser.features.pieces import Pieces, batch_of, padded_length, pieces_of
from edgeser.model.artefact import ArtefactInfo
from edgeser.model.backends.protocol import Backend
from edgeser.model.network import Speech


@dataclass(frozen=True, eq=False)
class WindowSegment:
    """A segment whose windows are normalised and run independently."""

    front_end: FrontEnd
    policy: WindowPolicy
    baseline: Baseline

    def window(self, frames: FrameStream, start: int, end: int) -> Pieces:
        """See ``Segment``."""
        return pieces_of(frames.frames(start, end), self.front_end, self.policy, self.baseline)


class WindowNetwork:
    """A ``Network`` of windows."""

    def __init__(self, info: ArtefactInfo, backend: Backend) -> None:
        self._info = info
        self._backend = backend

    def segment(self, start: int, baseline: Baseline) -> WindowSegment:
        """See ``Network``."""
        return WindowSegment(self._info.front_end, self._info.window, baseline)

    def logits(self, windows: Sequence[Speech]) -> Floats:
        """For each window the mean of the logits of its pieces.

        All pieces are padded to a common length, one of a small set, and run as one batch.
        """
        taken = [_pieces(window) for window in windows]
        pieces = [piece for window in taken for piece in window]
        batch, frames = batch_of(pieces, self._info.window.pad_frames)
        logits = self._backend.run(batch, frames)
        if len(pieces) > len(taken):
            counts = np.array([len(window) for window in taken])
            sums = np.add.reduceat(logits, np.cumsum(counts) - counts, axis=0)
            logits = (sums / counts[:, None]).astype(np.float32)
        return logits

    def rows(self, window: Speech) -> int:
        """See ``Network``."""
        return len(_pieces(window))

    def row_frames(self, window: Speech) -> int:
        """See ``Network``."""
        return padded_length(len(_pieces(window)[0]), self._info.window.pad_frames)


def _pieces(window: Speech) -> Pieces:
    if not isinstance(window, list):
        raise TypeError("a span was cut for another model")
    return window
