"""Codecs: what they leave of a sound, and what they take away."""

from __future__ import annotations

import numpy as np
import pytest

from edgeser.model.golden import waveform
from edgeser_train.sound import codec
from edgeser_train.sound.augment import WaveformAugmentation, vary

SOUND = waveform(1, 2.0).astype(np.float64) / 32768


def band_power(x: np.ndarray, low_hz: float, high_hz: float) -> float:
    power = np.abs(np.fft.rfft(x)) ** 2
    hz = np.linspace(0, 8000, len(power))
    return float(power[(hz >= low_hz) & (hz < high_hz)].sum())


def correlation(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.corrcoef(a, b)[0, 1])


def test_g711_is_a_telephone_line() -> None:
    heard = codec.g711(SOUND)
    assert heard.shape == SOUND.shape
    assert band_power(heard, 4300, 8000) < 0.1 * band_power(SOUND, 4300, 8000)
    low = between(SOUND, 300, 3400)
    assert correlation(between(heard, 300, 3400), low) > 0.98


@pytest.mark.parametrize("compression", [0.5, 1.0])
def test_vorbis_changes_the_sound_but_not_what_it_is(compression: float) -> None:
    heard = codec.vorbis(SOUND, compression)
    assert heard.shape == SOUND.shape
    assert 0.8 < correlation(heard, SOUND) < 0.99999


def test_silence_stays_silence() -> None:
    silence = np.zeros(8000)
    for heard in (codec.g711(silence), codec.vorbis(silence, 0.7)):
        assert np.abs(heard).max() < 1e-6


def test_a_band_lets_through_what_lies_in_it() -> None:
    never = {f"{step}_chance": 0.0 for step in ("speed", "tilt", "room", "noise", "codec")}
    spec = WaveformAugmentation(
        **never, band_chance=1.0, low_hz=(300, 300), high_hz=(3400, 3400), peak_dbfs=(-6, -6)
    )
    rng = np.random.default_rng(0)
    noise = rng.integers(-8000, 8000, 32_000).astype(np.int16)
    heard = vary(noise, spec, rng).astype(np.float64)
    inside = band_power(heard, 300, 3400)
    assert band_power(heard, 0, 150) < 1e-4 * inside
    assert band_power(heard, 5000, 8000) < 1e-4 * inside


def between(x: np.ndarray, low_hz: float, high_hz: float) -> np.ndarray:
    """Only what lies between the two, by cutting the spectrum."""
    spectrum = np.fft.rfft(x)
    hz = np.linspace(0, 8000, len(spectrum))
    spectrum[(hz < low_hz) | (hz > high_hz)] = 0
    return np.fft.irfft(spectrum, len(x))
