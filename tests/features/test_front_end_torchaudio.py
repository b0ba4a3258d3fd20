"""The front end is that of torchaudio to a thousandth of a decibel."""

from __future__ import annotations

import numpy as np
import pytest

from edgeser.features import FrontEnd
from edgeser.features.frames import features_of
from edgeser.model.golden import waveform

torch = pytest.importorskip("torch")
transforms = pytest.importorskip("edgeser_train.torchaudio").transforms()


@pytest.mark.parametrize(("seed", "seconds"), [(1, 0.5), (2, 1.7), (3, 3.01)])
def test_log_mel_equals_torchaudio(seed: int, seconds: float) -> None:
    spec = FrontEnd(normalise="none", range_db=1000)
    samples = waveform(seed, seconds)
    reference = transforms.MelSpectrogram(
        sample_rate=spec.sample_rate,
        n_fft=spec.n_fft,
        win_length=spec.window,
        hop_length=spec.hop,
        f_min=spec.f_min,
        f_max=spec.f_max,
        n_mels=spec.mels,
        power=2.0,
        center=False,
        window_fn=torch.hamming_window,
        norm="slaney",
        mel_scale="slaney",
    )
    # torch centres the window in the FFT: (1024 - 640) / 2 more samples on either side.
    centred = (spec.n_fft - spec.window) // 2
    sound = torch.from_numpy(samples.astype(np.float32) / 32768)
    padded = torch.nn.functional.pad(sound, (spec.lookback + centred, centred))
    expected = 10 * torch.log10(reference(padded).clamp(min=spec.floor)).T.numpy()
    frames = features_of(samples, spec)
    assert frames.shape == (len(samples) // spec.hop, spec.mels)
    np.testing.assert_allclose(frames, expected[: len(frames)], rtol=0, atol=1e-3)
