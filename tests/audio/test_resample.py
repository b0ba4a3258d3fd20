from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeser.audio.resample import Resampler

RATES = [8_000, 11_025, 16_000, 22_050, 32_000, 44_100, 48_000, 96_000, 12_347]


def noise(frames: int, channels: int) -> npt.NDArray[np.int16]:
    return np.random.default_rng(frames).integers(
        -32_768, 32_768, (frames, channels), dtype=np.int16
    )


def converted(
    frames: npt.NDArray[np.int16], rate: int, cuts: list[int], channel: int | None = None
) -> npt.NDArray[np.int16]:
    resampler = Resampler(rate, frames.shape[1], channel)
    pieces = [resampler.feed(piece) for piece in np.split(frames, cuts)]
    pieces.append(resampler.flush())
    assert resampler.samples_out == sum(map(len, pieces))
    assert resampler.frames_in == len(frames)
    return np.concatenate(pieces)


@given(
    rate=st.sampled_from(RATES),
    channels=st.integers(1, 6),
    length=st.integers(0, 6_000),
    data=st.data(),
)
@settings(max_examples=60, deadline=None)
def test_any_split_gives_the_same_samples_and_their_exact_number(
    rate: int, channels: int, length: int, data: st.DataObject
) -> None:
    cuts = sorted(data.draw(st.lists(st.integers(0, length), max_size=12)))
    frames = noise(length, channels)
    whole = converted(frames, rate, [])
    np.testing.assert_array_equal(converted(frames, rate, cuts), whole)
    assert abs(len(whole) - length * 16_000 / rate) <= 0.5
    assert whole.dtype == np.int16


def test_16_khz_mono_passes_untouched_as_integers_and_as_floats() -> None:
    frames = np.arange(-32_768, 32_768, dtype=np.int16)[:, None]
    np.testing.assert_array_equal(converted(frames, 16_000, [1, 320, 5_000]), frames[:, 0])
    floats = Resampler(16_000, 1).feed(frames.astype(np.float32) / 32_768)
    np.testing.assert_array_equal(floats, frames[:, 0])


def test_channels_are_averaged_or_one_is_taken() -> None:
    frames = np.array([[100, 300, -100], [7, 8, 9]], np.int16)
    assert Resampler(16_000, 3).feed(frames).tolist() == [100, 8]
    assert Resampler(16_000, 3, channel=1).feed(frames).tolist() == [300, 8]


@pytest.mark.parametrize("rate", [8_000, 44_100, 48_000, 96_000])
def test_a_tone_keeps_its_pitch_place_and_level(rate: int) -> None:
    def tone(at: int) -> npt.NDArray[np.float64]:
        return 10_000 * np.sin(2 * np.pi * 440 * np.arange(at) / at)

    out = converted(np.rint(tone(rate)).astype(np.int16)[:, None], rate, [777])
    inside = slice(1_000, -1_000)
    assert np.abs(out[inside] - tone(16_000)[inside]).max() < 20


def test_what_is_held_back_is_known() -> None:
    resampler = Resampler(48_000, 1)
    out = resampler.feed(noise(4_800, 1))
    assert resampler.held_s == pytest.approx(0.1 - len(out) / 16_000)
    resampler.flush()
    assert resampler.held_s == pytest.approx(0.0)


def test_what_is_no_number_is_silence_and_too_loud_is_clipped() -> None:
    resampler = Resampler(16_000, 1)
    resampler.feed(np.zeros((5, 1), np.float32))
    samples = resampler.feed(np.array([[0.5], [np.nan], [np.inf], [3.0], [-1e30]]))
    assert samples.tolist() == [16_384, 0, 0, 32_767, -32_768]
    assert resampler.first_non_finite == 6


def test_what_cannot_be_converted_is_refused() -> None:
    with pytest.raises(ValueError, match="rate and channels"):
        Resampler(0, 1)
    with pytest.raises(ValueError, match=r"channel in 0\.\.1"):
        Resampler(16_000, 2, channel=2)
    with pytest.raises(ValueError, match="shape"):
        Resampler(16_000, 2).feed(np.zeros(4, np.int16))
