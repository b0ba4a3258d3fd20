"""Input of networks that take raw samples, with a column that marks the frames of speech."""

from __future__ import annotations

import numpy as np

from edgeser.features.filters import Floats
from edgeser.pcm import FRAME_SAMPLES, as_samples
from edgeser.speech.vad import VoiceActivity

HOP = FRAME_SAMPLES
"""Samples of a frame: 20 ms, the step of WavLM and a size that WebRTC's VAD takes."""

_VAD_MODE = 0


def voiced_waveform(frames: Floats) -> Floats:
    """One window of samples in [-1, 1], (n, 320) -> (n, 321).

    The samples get zero mean and unit variance over the window, which makes them independent of
    gain; the last column is 1 where WebRTC's VAD (mode 0, started afresh for the window) hears
    speech in the frame's original samples, which depends on gain.
    """
    features: Floats = np.empty((len(frames), HOP + 1), np.float32)
    centred = frames - frames.mean(dtype=np.float64).astype(np.float32)
    spread = np.sqrt(np.mean(np.square(centred), dtype=np.float64) + 1e-7)
    features[:, :HOP] = centred / np.float32(spread)
    vad = VoiceActivity(_VAD_MODE)
    features[:, HOP] = [frame.voiced for frame in vad.push(as_samples(frames.reshape(-1)))]
    return features
