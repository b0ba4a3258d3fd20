"""The sound of this program: one channel, 16 kHz, signed 16 bit.

Imports nothing at run time: the capture process knows it and stays small.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

SAMPLE_RATE = 16_000
"""Samples per second of everything that a source gives."""

FRAME_SAMPLES = 320
"""Samples in a frame: 20 ms, one that WebRTC's VAD takes and the block of a regular source."""

FULL_SCALE = 32_768
"""The int16 magnitude of 1.0; the largest int16 is one less."""

Samples: TypeAlias = "npt.NDArray[np.int16]"


def as_floats(samples: Samples) -> npt.NDArray[np.float32]:
    """int16 (n,) to float32 in [-1, 1); exact."""
    floats: npt.NDArray[np.float32] = samples.astype("float32")
    floats *= 1 / FULL_SCALE
    return floats


def as_samples(floats: npt.NDArray[np.float32]) -> Samples:
    """float32 (n,) to the nearest int16; what is beyond full scale is clipped."""
    samples: Samples = (
        (floats * FULL_SCALE).round().clip(-FULL_SCALE, FULL_SCALE - 1).astype("int16")
    )
    return samples
