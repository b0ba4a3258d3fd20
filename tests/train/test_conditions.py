"""Conditions do what their names say, and the same at every call."""

from __future__ import annotations

import numpy as np
import pytest

from edgeser.errors import UserError
from edgeser_train.sound import conditions
from edgeser_train.sound.conditions import CONDITIONS, DEFAULT_CONDITIONS, ROBUSTNESS, under
from edgeser_train.sound.room import impulse_response


def speech(seconds: float = 3.0, amplitude: float = 6000) -> np.ndarray:
    """Bursts of harmonics with pauses between, int16."""
    t = np.arange(int(seconds * 16_000)) / 16_000
    voice = sum(np.sin(2 * np.pi * 120 * k * t) / k for k in range(1, 50))
    talking = np.sin(2 * np.pi * 0.8 * t) > -0.2
    return np.round(amplitude * voice * talking / 2).astype(np.int16)


def tone(hz: float) -> np.ndarray:
    t = np.arange(32_000) / 16_000
    return np.round(10_000 * np.sin(2 * np.pi * hz * t)).astype(np.int16)


def level_db(x: np.ndarray) -> float:
    return float(10 * np.log10(np.mean(x.astype(np.float64) ** 2) + 1e-9))


@pytest.mark.parametrize("name", ROBUSTNESS)
def test_every_condition_keeps_length_and_is_repeatable(name: str) -> None:
    sound = speech(1.0)
    once = under(name, sound, 3)
    assert once.dtype == np.int16
    assert once.shape == sound.shape
    np.testing.assert_array_equal(once, under(name, sound, 3))
    assert (name == "clean") == np.array_equal(once, sound)
    for short in (np.zeros(0, np.int16), np.zeros(100, np.int16), np.full(7, 500, np.int16)):
        assert under(name, short, 0).shape == short.shape


def test_what_is_random_differs_between_utterances() -> None:
    sound = speech(1.0)
    for name in ("noise 10 dB SNR", "small room"):
        assert not np.array_equal(under(name, sound, 1), under(name, sound, 2))


def test_gain_scales_and_clips() -> None:
    sound = np.array([10, -10, 30_000, -30_000, 4], np.int16)
    assert under("gain -20 dB", sound, 0).tolist() == [1, -1, 3000, -3000, 0]
    assert under("gain +10 dB", sound, 0).tolist() == [32, -32, 32767, -32768, 13]


def test_the_active_level_ignores_pauses() -> None:
    burst = speech(1.0)
    padded = np.concatenate([burst, np.zeros(48_000, np.int16)])
    assert conditions.active_level_db(padded) == pytest.approx(
        conditions.active_level_db(burst), abs=0.1
    )
    assert level_db(padded) < level_db(burst) - 5
    assert conditions.active_level_db(np.zeros(1000, np.int16)) == -np.inf


@pytest.mark.parametrize("snr_db", [20, 10, 5])
def test_noise_lies_that_far_below_the_speech(snr_db: int) -> None:
    sound = speech()
    noise = under(f"noise {snr_db} dB SNR", sound, 0).astype(np.float64) - sound
    measured = conditions.active_level_db(sound) - level_db(noise)
    assert measured == pytest.approx(snr_db, abs=0.1)
    power = np.abs(np.fft.rfft(noise)) ** 2
    hz = np.fft.rfftfreq(len(noise), 1 / 16_000)

    def octave(low: float) -> float:
        return float(10 * np.log10(power[(hz >= low) & (hz < 2 * low)].sum()))

    assert octave(100) == pytest.approx(octave(3200), abs=1.0)  # pink: equal power an octave


def test_noise_does_not_clip_loud_speech() -> None:
    loud = speech(1.0, 20_000)
    noisy = under("noise 5 dB SNR", loud, 0)
    assert np.sum(np.abs(noisy.astype(int)) >= 32_767) <= 1


@pytest.mark.parametrize("hz", [100, 5000, 7000])
def test_the_telephone_cuts_outside_its_band(hz: float) -> None:
    assert level_db(under("telephone band", tone(hz), 0)[4000:-4000]) < level_db(tone(hz)) - 40


@pytest.mark.parametrize("hz", [400, 1000, 3300])
def test_the_telephone_passes_its_band_in_time(hz: float) -> None:
    passed = under("telephone band", tone(hz), 0)[4000:-4000].astype(int)
    assert np.abs(passed - tone(hz)[4000:-4000]).max() < 300


def test_the_room_decays_by_60_db_in_its_time() -> None:
    size, source, microphone = (np.array(x) for x in ([4, 3, 2.5], [2.6, 1.7, 1.5], [0.8, 1.2, 1]))
    response = impulse_response(size, source, microphone, 0.4)
    assert response.shape == (6400,)
    assert response[0] == pytest.approx(1, abs=0.02)  # the direct sound, at once
    assert np.all(np.abs(response[1:20]) < 0.05)  # nothing until the first wall answers
    remaining = 10 * np.log10(np.cumsum(response[::-1] ** 2)[::-1])
    at = [int(np.argmax(remaining < remaining[0] - fall)) for fall in (5, 25)]
    assert 3 * (at[1] - at[0]) / 16_000 == pytest.approx(0.4, rel=0.25)


def test_the_room_keeps_the_level_and_adds_a_tail() -> None:
    sound = speech()
    wet = under("small room", sound, 0)
    assert conditions.active_level_db(wet) == pytest.approx(
        conditions.active_level_db(sound), abs=0.1
    )
    pause = np.flatnonzero((sound[:-1] != 0) & (sound[1:] == 0))[-1]
    after = slice(int(pause) + 200, int(pause) + 1000)
    assert level_db(wet[after]) > level_db(np.ones(1)) + 20


def test_opus_changes_the_sound_but_not_its_time() -> None:
    if (reason := conditions.missing().get("Opus 8 kbit/s")) is not None:
        pytest.skip(reason)
    sound = speech()
    coded = under("Opus 8 kbit/s", sound, 0)
    assert np.corrcoef(sound, coded)[0, 1] > 0.7
    assert level_db(coded - sound.astype(np.float64)) > level_db(sound) - 30


def test_an_unknown_condition_is_named() -> None:
    with pytest.raises(UserError, match="condition 'mars': unknown; there is clean"):
        under("mars", speech(0.1), 0)
    assert set(DEFAULT_CONDITIONS) <= set(ROBUSTNESS) <= set(CONDITIONS)
