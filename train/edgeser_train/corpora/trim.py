"""The speech of a recording that has silence at both ends."""

from __future__ import annotations

import numpy as np

from edgeser.pcm import FRAME_SAMPLES, Samples
from edgeser.speech.vad import VoiceActivity

MODE = 3
"""WebRTC's strictest: the others take the breath and the hum before a sentence for speech."""

RANGE_DB = 40.0
"""A frame that is this much below the loudest is not speech."""

AROUND_FRAMES = 6
"""Frames kept before the first and after the last speech: 0.12 s."""

PEAK = 16384
"""The detector hears the recording at this peak, so that its level does not matter."""

TRIMMING = f"{MODE} {RANGE_DB} {AROUND_FRAMES} {PEAK}"
"""Identifies these settings: it changes when the same file would be trimmed differently."""


def speech_of(samples: Samples) -> Samples:
    """From just before the first speech to just after the last: int16 (n,) -> (m,), m <= n.

    The level is kept. A recording without speech is kept whole. Raises UserError without WebRTC.
    """
    peak = int(np.abs(samples.astype(np.int32)).max(initial=1))
    heard = np.round(samples * (PEAK / max(1, peak))).astype(np.int16)
    frames = list(VoiceActivity(MODE).push(heard))
    least = max((f.level_dbfs for f in frames), default=0.0) - RANGE_DB
    speech = [i for i, f in enumerate(frames) if f.voiced and f.level_dbfs > least]
    if not speech:
        return samples
    first = max(0, speech[0] - AROUND_FRAMES) * FRAME_SAMPLES
    last = (speech[-1] + 1 + AROUND_FRAMES) * FRAME_SAMPLES
    kept: Samples = samples[first:last].copy()
    return kept
