"""Networks that take every frame of a segment once, block by block, and keep a state."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edgeser.features import Baseline
from edgeser.features.baseline import no_baseline
from edgeser.features.front_end import Floats
from edgeser.model.artefact import ArtefactInfo, StreamLayout
from edgeser.model.backends.protocol import Backend
from edgeser.model.network import Speech
from edgeser.model.track import Span, Track

MAX_BLOCKS = 8
"""Most blocks run at once, each of another segment: more would push activations out of the cache.
"""


class StreamNetwork:
    """A ``Network`` of streams.

    Blocks always have the same length and lie on the segment's own grid, so no bit of a score
    depends on how a stream was cut into blocks of sound, batched or delayed.
    """

    def __init__(self, info: ArtefactInfo, layout: StreamLayout, backend: Backend) -> None:
        self._info = info
        self._layout = layout
        self._backend = backend

    def segment(self, start: int, baseline: Baseline) -> Track:
        """See ``Network``."""
        return Track(self._info.front_end, self._layout, start, baseline)

    def logits(self, windows: Sequence[Speech]) -> Floats:
        """Logits of each span, after its track's blocks have been run as far as it needs them.

        The next block of every track is a row of one batch, as long as one is due.
        """
        spans = [self._span(window) for window in windows]
        found: dict[int, Floats] = {}
        while len(found) < len(spans):
            due: dict[int, int] = {}  # the first waiting span of each track
            for place, span in enumerate(spans):
                if place in found or id(span.track) in due:
                    continue
                if span.is_due:
                    due[id(span.track)] = place
                else:
                    found[place] = span.track.logits(span)
            places = list(due.values())
            for first in range(0, len(places), MAX_BLOCKS):
                self._run(spans, places[first : first + MAX_BLOCKS], found)
        return np.stack([found[place] for place in range(len(spans))])

    def rows(self, window: Speech) -> int:
        """One: a window's blocks are run one after another."""
        return 1

    def row_frames(self, window: Speech) -> int:
        """See ``Network``."""
        return self._layout.block_frames

    def _run(self, spans: Sequence[Span], places: list[int], found: dict[int, Floats]) -> None:
        """Run one block of each of these spans."""
        chosen = [spans[place] for place in places]
        states = np.stack([span.track.state for span in chosen])
        features = np.stack([span.next_block() for span in chosen])
        votes, weights, after = self._backend.step(features, states)
        for row, (place, span) in enumerate(zip(places, chosen, strict=True)):
            if span.only_rest_is_due:
                found[place] = span.track.logits(span, votes[row], weights[row])
            else:
                span.track.take(votes[row], weights[row], after[row].copy())

    def _span(self, window: Speech) -> Span:
        if isinstance(window, Span):
            return window
        spec = self._info.front_end
        return Track(spec, self._layout, 0, no_baseline(spec.bins)).of(window[0])
