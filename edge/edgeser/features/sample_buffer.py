"""The last samples of a stream: appended at the end, dropped at the front, and seldom copied."""

from __future__ import annotations

import numpy as np

from edgeser.pcm import Samples

_MIN_CAPACITY = 8_192
"""Samples, half a second: the buffer is never smaller."""


class SampleBuffer:
    """A run of int16 samples that grows at its end and is dropped from its beginning."""

    def __init__(self) -> None:
        self._room = np.empty(_MIN_CAPACITY, np.int16)
        self._begin = self._end = 0

    def __len__(self) -> int:
        return self._end - self._begin

    def append(self, samples: Samples) -> None:
        """Add samples (n,) at the end."""
        end = self._end + len(samples)
        if end > len(self._room):
            # A new array, never moved in place: views given out by ``between`` must not change.
            held = self._room[self._begin : self._end]
            needed = len(held) + len(samples)
            self._room = np.empty(max(_MIN_CAPACITY, needed + needed // 2), np.int16)
            self._room[: len(held)] = held
            self._begin, self._end, end = 0, len(held), needed
        self._room[self._end : end] = samples
        self._end = end

    def between(self, first: int, last: int) -> Samples:
        """The held samples [first, last), as far as there are so many; not to be written to."""
        return self._room[self._begin + max(0, first) : min(self._end, self._begin + max(0, last))]

    def forget(self, samples: int) -> None:
        """Drop so many of the first samples."""
        self._begin = min(self._end, self._begin + samples)

    def clear(self) -> None:
        """Drop all samples."""
        self._begin = self._end
