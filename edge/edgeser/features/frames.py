"""The frames of one stream, each computed once, on the stream's own grid."""

from __future__ import annotations

import numpy as np

from edgeser.features.front_end import Floats, FrontEnd
from edgeser.features.sample_buffer import SampleBuffer
from edgeser.pcm import Samples, as_floats


class FrameStream:
    """Samples in, raw frames of any stretch of them out.

    Frames are computed when a window first asks for them, in one batched FFT, and kept until they
    are forgotten: overlapping windows share them, and silence costs nothing. Positions are
    absolute samples of the stream.
    """

    def __init__(self, front_end: FrontEnd) -> None:
        self.front_end = front_end
        self._samples = SampleBuffer()
        self._first_sample = 0
        self._frames = np.zeros((0, front_end.bins), np.float32)
        self._first_frame = 0

    @property
    def end_sample(self) -> int:
        """Position just after the last sample held."""
        return self._first_sample + len(self._samples)

    def push(self, samples: Samples, first_sample: int) -> None:
        """Add samples; a gap in front of them empties the stream, which starts again after it."""
        if first_sample != self.end_sample:
            self._samples.clear()
            self._first_sample = first_sample
            self._drop_frames()
        self._samples.append(samples)

    def samples(self, start: int, end: int) -> Samples:
        """The samples [start, end), as far as they are held; not to be written to."""
        return self._samples.between(start - self._first_sample, end - self._first_sample)

    def frames(self, start: int, end: int) -> Floats:
        """Raw frames of the samples [start, end): (n, bins), float32; not to be written to.

        ``start`` and ``end`` are multiples of the hop. What lies before the first sample held, or
        after the last, counts as zeros. Raises ValueError for an empty window.
        """
        hop = self.front_end.hop
        if start % hop or end % hop or end <= start:
            raise ValueError(f"window [{start}, {end}) is empty or off the grid of {hop} samples")
        first, last = start // hop, end // hop
        known_end = self._first_frame + len(self._frames)
        if first < self._first_frame or first > known_end:
            self._drop_frames()
            self._first_frame = known_end = first
        if last > known_end:
            self._frames = np.concatenate((self._frames, self._compute(known_end, last)))
        return self._frames[first - self._first_frame : last - self._first_frame]

    def forget(self, before: int) -> None:
        """Drop everything that windows starting at ``before`` or later do not need."""
        needed = max(self._first_sample, before - self.front_end.history)
        self._samples.forget(needed - self._first_sample)
        self._first_sample = needed
        frame = before // self.front_end.hop
        if frame > self._first_frame:
            if len(self._frames):
                self._frames = self._frames[frame - self._first_frame :]
            self._first_frame = frame

    def _drop_frames(self) -> None:
        self._frames = self._frames[:0]

    def _compute(self, first: int, last: int) -> Floats:
        spec = self.front_end
        begin = first * spec.hop - spec.history
        end = (last - 1) * spec.hop - spec.lookback + spec.window
        held = self.samples(begin, end)
        padded = np.zeros(end - begin, np.float32)
        offset = max(0, self._first_sample - begin)
        padded[offset : offset + len(held)] = as_floats(held)
        if spec.pre_emphasis:
            padded = padded[1:] - np.float32(spec.pre_emphasis) * padded[:-1]
        # A view of overlapping windows; NumPy's sliding_window_view takes thirty times as long.
        steps = (spec.hop * padded.itemsize, padded.itemsize)
        return spec.frames(np.ndarray((last - first, spec.window), np.float32, padded, 0, steps))


def features_of(samples: Samples, front_end: FrontEnd) -> Floats:
    """Normalised features of a whole utterance in one piece: int16 (n,) -> (n // hop, width)."""
    return front_end.normalised(raw_frames(samples, front_end))


def raw_frames(samples: Samples, front_end: FrontEnd) -> Floats:
    """Raw frames of a whole utterance: int16 (n,) -> (n // hop, bins).

    Raises ValueError for a sound that is shorter than a hop.
    """
    stream = FrameStream(front_end)
    stream.push(samples, 0)
    return stream.frames(0, len(samples) // front_end.hop * front_end.hop)
