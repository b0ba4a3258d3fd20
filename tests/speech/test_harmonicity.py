"""How harmonic a sound is, in decibels."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from edgeser.pcm import SAMPLE_RATE, Samples
from edgeser.speech.harmonicity import NOT_HARMONIC_DB, hnr_db
from tests.sounds import speech

TIME_S = np.arange(2 * SAMPLE_RATE) / SAMPLE_RATE
NOISE = np.random.default_rng(1).standard_normal(len(TIME_S))


def voice(pitch_hz: float) -> npt.NDArray[np.float64]:
    """Ten harmonics of a steady pitch, with a mean square of 1."""
    sound = np.sum([np.sin(2 * np.pi * k * pitch_hz * TIME_S) / k for k in range(1, 11)], axis=0)
    return np.asarray(sound / np.sqrt(np.mean(sound**2)))


def sound(values: npt.NDArray[np.float64], rms: float = 3000.0) -> Samples:
    return np.clip(values * rms, -32768, 32767).astype(np.int16)


@pytest.mark.parametrize("pitch_hz", [90.0, 220.0, 510.0])
@pytest.mark.parametrize("ratio_db", [0.0, 6.0, 12.0, 18.0])
def test_it_is_the_ratio_of_the_harmonics_to_the_noise(pitch_hz: float, ratio_db: float) -> None:
    noisy = voice(pitch_hz) + NOISE * 10 ** (-ratio_db / 20)
    assert hnr_db(sound(noisy, 2000)) == pytest.approx(ratio_db, abs=3)


def test_noise_is_not_harmonic_and_speech_is() -> None:
    assert hnr_db(sound(NOISE)) < 0
    assert 3 < hnr_db(speech()) < 20


def test_the_level_does_not_matter() -> None:
    noisy = voice(200) + 0.2 * NOISE
    loud, quiet = (hnr_db(sound(noisy, rms)) for rms in (5000.0, 500.0))
    assert loud == pytest.approx(quiet, abs=0.1)


def test_pauses_do_not_matter() -> None:
    spoken = sound(voice(200) + 0.2 * NOISE)
    pause = sound(NOISE, 10.0)
    with_pause = hnr_db(np.concatenate((pause, spoken, pause)))
    assert with_pause == pytest.approx(hnr_db(spoken), abs=0.5)


def test_what_repeats_itself_outside_of_the_pitch_of_voices_is_less_harmonic() -> None:
    low, inside = (hnr_db(sound(voice(pitch) + 0.1 * NOISE)) for pitch in (40.0, 150.0))
    assert low < inside - 6


@pytest.mark.parametrize("samples", [0, 100, 639])
def test_nothing_is_harmonic_in_silence_or_in_less_than_a_frame(samples: int) -> None:
    assert hnr_db(sound(voice(200))[:samples]) == NOT_HARMONIC_DB
    assert hnr_db(np.zeros(samples + 1000, np.int16)) == NOT_HARMONIC_DB


def test_full_scale_and_one_bit_are_sounds() -> None:
    square = np.where(np.sin(2 * np.pi * 200 * TIME_S) >= 0, 1, -1)
    for peak in (1, 32767):
        assert hnr_db((square * peak).astype(np.int16)) > 15
