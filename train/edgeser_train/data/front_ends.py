"""The papers' front ends by name. All sample at 16 kHz with a causal grid: frame k ends with hop k.

Each paper standardises features with the training set's statistics; the network does that. How
features are made independent of the microphone's gain, on which papers are silent, is a parameter:
``none`` is the paper; ``FrontEnd`` lists the other ways.
"""

from __future__ import annotations

import msgspec

from edgeser.features import FrontEnd
from edgeser.features.scaling import Normalisation

UNLIMITED_DB = 1_000.0
"""A range that never raises anything, since the power floor lies higher."""

STFT_VERSIONS = {version: 160 + 80 * version for version in range(1, 9)}
"""Samples of the analysis window, 15 ms to 50 ms, by version (Kim and Kwon, table of versions)."""

LIGHTWEIGHT = FrontEnd(normalise="speech")
"""Zhong et al. 2020, section 2.1 and the authors' code: 40 ms, 128 Slaney bands, 80 dB. Their code
does not normalise; ``speech`` is our choice: pauses and a fixed response affect it less."""

ATTENTION_POOLING = FrontEnd(
    kind="linear",
    n_fft=1600,
    f_max=4_000.0,
    range_db=UNLIMITED_DB,
    normalise="peak",
    scale="mu_law",
)
"""Li et al. 2018, section 3.1: 40 ms, 400 bins of 10 Hz below 4 kHz, the magnitudes of each piece
divided by their maximum, then mu-law. Independent of gain."""

WAVEFORM = FrontEnd(kind="waveform", window=320, hop=320, lookback=0, normalise="none")
"""Hyeon et al., section 3: the waveform as WavLM-Large expects it, zero mean and unit variance, and
WebRTC's VAD flag of every 20 ms."""

VOICES = FrontEnd(window=640, hop=320, lookback=320, mels=64, range_db=40.0, normalise="voice")
"""Ours, for unseen voices: 40 ms every 20 ms, 64 Slaney bands, relative to the voice's baseline.
Only 40 dB: the depth of the pauses tells a studio from a kitchen and, in corpora that were not
levelled, loud emotions from soft ones; neither generalises to other microphones."""

STREAM = msgspec.structs.replace(VOICES, normalise="onset")
"""The same, normalised by a segment's first frames: later sound never changes earlier frames."""


def eca(version: int = 8, normalise: Normalisation = "none") -> FrontEnd:
    """Kim and Kwon, STFT version 1 to 8: 64 bands, 10 ms hop, the window's power divided out.

    The FFT has 1024 points in every version, so that no band is empty, and n samples give n // 160
    frames in all of them. Bands on the HTK scale, of unit height. Raises KeyError for a version
    that does not exist.
    """
    window = STFT_VERSIONS[version]
    return FrontEnd(
        window=window,
        lookback=window - 160,
        mels=64,
        mel_scale="htk",
        unit_area=False,
        unit_window=True,
        normalise=normalise,
    )


def pcnse(normalise: Normalisation = "none") -> FrontEnd:
    """Zhao et al. 2021, section 4.2: 25 ms, 40 bands, natural logarithm, deltas over 3 frames.

    Features (frames, 120) lie side by side: static, delta, delta-delta. The pre-emphasis and the
    filters are those of python_speech_features, which the paper's predecessor used.
    """
    return FrontEnd(
        window=400,
        lookback=240,
        n_fft=512,
        mels=40,
        mel_scale="htk",
        unit_area=False,
        pre_emphasis=0.97,
        range_db=UNLIMITED_DB,
        normalise=normalise,
        scale="ln",
        deltas=3,
    )


PCNSE = pcnse()
"""Zhao et al. 2021 as published."""
