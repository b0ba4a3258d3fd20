"""Regular blocks out of runs of samples of any length."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from edgeser.pcm import FRAME_SAMPLES, Samples


class Cutter:
    """Cuts a stream into blocks of 320 samples; only the last may be shorter."""

    def __init__(self) -> None:
        self._carry: Samples = np.zeros(0, np.int16)

    def cut(self, samples: Samples) -> Iterator[Samples]:
        """Yield the blocks that are complete with ``samples`` (int16, shape (n,)) appended."""
        samples = np.concatenate((self._carry, samples))
        whole = len(samples) - len(samples) % FRAME_SAMPLES
        self._carry = samples[whole:]
        for start in range(0, whole, FRAME_SAMPLES):
            yield samples[start : start + FRAME_SAMPLES]

    def rest(self) -> Samples:
        """The samples left at the end: int16, shape (n,), n < 320."""
        rest, self._carry = self._carry, self._carry[:0]
        return rest
