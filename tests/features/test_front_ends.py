"""The front ends of the papers: shapes, values by definition, and one stream for all."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
import webrtcvad
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeser.features import FrameStream, FrontEnd
from edgeser.features.frames import features_of, raw_frames
from edgeser.features.scaling import deltas, rescaled, with_deltas
from edgeser.model.golden import waveform
from edgeser_train.data.front_ends import (
    ATTENTION_POOLING,
    LIGHTWEIGHT,
    PCNSE,
    STFT_VERSIONS,
    WAVEFORM,
    eca,
)
from tests.cuts import blocks_of, cuts
from tests.features.front_ends import FRONT_ENDS

SOUND = waveform(3, 2.0)
WHOLE = {name: raw_frames(SOUND, spec) for name, spec in FRONT_ENDS.items()}
every_front_end = pytest.mark.parametrize("name", FRONT_ENDS)


@every_front_end
@given(cuts(len(SOUND)), st.data())
@settings(max_examples=6, deadline=None)
def test_a_stream_in_odd_blocks_equals_the_whole(
    name: str, where: list[int], data: st.DataObject
) -> None:
    spec, whole = FRONT_ENDS[name], WHOLE[name]
    stream = FrameStream(spec)
    forgotten = 0
    for block in blocks_of(SOUND, where):
        stream.push(block, stream.end_sample)
        last = stream.end_sample // spec.hop
        if last > forgotten:
            start = data.draw(st.integers(forgotten, last - 1))
            held = stream.frames(start * spec.hop, last * spec.hop)
            np.testing.assert_array_equal(held, whole[start:last])
            forgotten = data.draw(st.integers(forgotten, start))
            stream.forget(forgotten * spec.hop)


@every_front_end
def test_a_spec_survives_its_own_json(name: str) -> None:
    spec = FRONT_ENDS[name]
    assert msgspec.json.decode(msgspec.json.encode(spec), type=FrontEnd) == spec


@every_front_end
def test_what_a_spec_says_of_itself_is_so(name: str) -> None:
    spec = FRONT_ENDS[name]
    silent = raw_frames(np.zeros(3200, np.int16), spec)
    assert silent.shape == (spec.frame_count(3200), spec.bins)
    np.testing.assert_allclose(silent, spec.silence, rtol=1e-6)
    features = features_of(SOUND, spec)
    assert features.shape == (spec.frame_count(len(SOUND)), spec.width)
    assert features.dtype == np.float32
    assert np.isfinite(features).all()
    assert np.isfinite(spec.normalised(silent)).all()


def test_the_shapes_of_the_papers() -> None:
    for version in STFT_VERSIONS:
        assert features_of(np.ones(96_000, np.int16), eca(version)).shape == (600, 64)
    assert features_of(np.ones(32_000, np.int16), ATTENTION_POOLING).shape == (200, 400)
    assert features_of(np.ones(80_000, np.int16), PCNSE).shape == (500, 120)
    assert features_of(np.ones(112_000, np.int16), LIGHTWEIGHT).shape == (700, 128)
    assert features_of(np.ones(304_000, np.int16), WAVEFORM).shape == (950, 321)


def test_the_versions_have_the_windows_of_the_paper() -> None:
    assert [eca(v).window for v in STFT_VERSIONS] == [240, 320, 400, 480, 560, 640, 720, 800]
    assert {(eca(v).hop, eca(v).n_fft) for v in STFT_VERSIONS} == {(160, 1024)}


@pytest.mark.parametrize("name", [n for n, s in FRONT_ENDS.items() if s.kind == "mel"])
def test_no_mel_filter_is_empty(name: str) -> None:
    assert (FRONT_ENDS[name].mel_filters.max(axis=0) > 0).all()


def test_a_tone_is_as_loud_in_every_version() -> None:
    t = np.arange(16_000) / 16_000
    tone = np.round(0.5 * 32768 * np.sin(2 * np.pi * 1000 * t)).astype(np.int16)
    # By Parseval half of n_fft * amplitude^2 / 2 lies in the positive frequencies; filters of unit
    # height that overlap by half keep it.
    expected = 10 * np.log10(1024 * 0.5**2 / 4)
    for version in STFT_VERSIONS:
        powers = 10 ** (raw_frames(tone, eca(version))[50].astype(float) / 10)
        assert 10 * np.log10(powers.sum()) == pytest.approx(expected, abs=0.1)


def test_the_spectrogram_of_attention_pooling_by_definition() -> None:
    window = 0.54 - 0.46 * np.cos(2 * np.pi * np.arange(640) / 640)
    padded = np.concatenate((np.zeros(480), SOUND / 32768))
    rows = np.stack([padded[160 * k : 160 * k + 640] for k in range(200)])
    magnitudes = np.abs(np.fft.rfft(rows * window, 1600))[:, :400]
    x = magnitudes / magnitudes.max()
    expected = np.log(1 + 255 * x) / np.log(256)
    np.testing.assert_allclose(features_of(SOUND, ATTENTION_POOLING), expected, atol=2e-3)


def test_mu_law() -> None:
    decibels = np.array([[0, -12, -20, -40]], np.float32)
    np.testing.assert_allclose(rescaled(decibels, "mu_law")[0], [1, 0.753, 0.591, 0.228], atol=1e-3)
    frames = np.linspace(-100, 30, 400, dtype=np.float32)[None]
    features = ATTENTION_POOLING.normalised(frames)
    assert features.max() == pytest.approx(1)
    np.testing.assert_allclose(ATTENTION_POOLING.normalised(frames - 20), features, atol=1e-5)


def test_the_delta_of_a_ramp_is_its_slope() -> None:
    slopes = np.array([2.0, -0.5], np.float32)
    ramp = np.arange(20, dtype=np.float32)[:, None] * slopes
    np.testing.assert_allclose(deltas(ramp, 3)[3:-3], np.tile(slopes, (14, 1)), rtol=1e-5)
    # At an edge the outer frame stands for those behind it: 1 + 4 + 9 = 14, of 28.
    np.testing.assert_allclose(deltas(ramp, 3)[0], slopes / 2, rtol=1e-5)
    both = with_deltas(ramp, 3)
    assert both.shape == (20, 6)
    np.testing.assert_array_equal(both[:, :2], ramp)
    np.testing.assert_allclose(both[:, 4:], deltas(both[:, 2:4], 3))
    np.testing.assert_allclose(both[6:-6, 4:], 0, atol=1e-6)


def test_the_features_of_pcnse_by_definition() -> None:
    sound = SOUND / 32768
    emphasised = np.concatenate((sound[:1], sound[1:] - 0.97 * sound[:-1]))
    padded = np.concatenate((np.zeros(240), emphasised))
    rows = np.stack([padded[160 * k : 160 * k + 400] for k in range(200)])
    window = 0.54 - 0.46 * np.cos(2 * np.pi * np.arange(400) / 400)
    power = np.abs(np.fft.rfft(rows * window, 512)) ** 2
    mel = np.linspace(0, 2595 * np.log10(1 + 8000 / 700), 42)
    edges = 700 * (10 ** (mel / 2595) - 1)
    hz = np.arange(257) * 31.25
    bands = [np.interp(hz, edges[b : b + 3], [0, 1, 0], 0, 0) for b in range(40)]
    static = np.log(np.maximum(power @ np.array(bands).T, 1e-10))
    features = features_of(SOUND, PCNSE)
    np.testing.assert_allclose(features[:, :40], static, atol=1e-3)
    np.testing.assert_allclose(features[:, 40:80], deltas(features[:, :40], 3))


def test_the_waveform_is_standardised_and_marked() -> None:
    among = np.concatenate((np.zeros(8000, np.int16), SOUND, np.zeros(8000, np.int16)))
    features = features_of(among, WAVEFORM)
    samples = among[: len(features) * 320].astype(float) / 32768
    expected = (samples - samples.mean()) / np.sqrt(samples.var() + 1e-7)
    np.testing.assert_allclose(features[:, :320].reshape(-1), expected, atol=1e-4)
    vad = webrtcvad.Vad(0)
    heard = [vad.is_speech(piece.tobytes(), 16_000) for piece in among.reshape(-1, 320)]
    np.testing.assert_array_equal(features[:, 320], heard)
    assert 0.3 < np.mean(heard) < 1


@pytest.mark.parametrize("name", ["attention-pooling", "wavlm-sap"])
@pytest.mark.parametrize("gain_db", [-20, 5])
def test_these_do_not_depend_on_gain(name: str, gain_db: float) -> None:
    spec = FRONT_ENDS[name]
    loud = features_of(SOUND, spec)
    quiet = features_of(np.round(SOUND * 10 ** (gain_db / 20)).astype(np.int16), spec)
    assert np.abs(loud - quiet)[:, :320].mean() < 0.02


@pytest.mark.parametrize(
    "spec", [eca(8, "level"), msgspec.structs.replace(PCNSE, normalise="mean")]
)
def test_the_others_do_not_where_told(spec: FrontEnd) -> None:
    soft = np.round(SOUND * 0.3).astype(np.int16)
    assert np.abs(features_of(SOUND, spec) - features_of(soft, spec)).mean() < 0.05


def test_a_version_that_does_not_exist() -> None:
    with pytest.raises(KeyError):
        eca(9)


@pytest.mark.parametrize(
    "constants",
    [
        {"kind": "waveform"},
        {"kind": "linear", "f_min": 1.0, "f_max": 2.0},
        {"scale": "mu_law"},
        {"pre_emphasis": 1.0},
        {"deltas": -1},
        {"floor": 0.0},
    ],
)
def test_impossible_front_ends_are_refused(constants: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="front end"):
        msgspec.convert({**msgspec.to_builtins(FrontEnd()), **constants}, FrontEnd)
