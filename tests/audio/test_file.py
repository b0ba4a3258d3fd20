from __future__ import annotations

import os
import struct
import threading
import time
import tracemalloc
from collections.abc import Sequence
from itertools import cycle
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from edgeser.audio.file import FileSource
from edgeser.audio.resample import Resampler
from edgeser.audio.source import AudioBlock, AudioFault, SourceError


def speechlike(seconds: float, rate: int = 16_000, channels: int = 1) -> npt.NDArray[np.float64]:
    rng = np.random.default_rng(7)
    return rng.standard_normal((round(seconds * rate), channels)).cumsum(0) % 1.0 * 0.5 - 0.25


def played(path: Path, fast: bool = True) -> tuple[list[AudioBlock], list[AudioFault]]:
    blocks, faults = [], []
    for item in FileSource(path, fast).blocks():
        if isinstance(item, AudioBlock):
            assert not faults or faults[-1].code != "file_truncated"
            assert item.first_sample == (blocks[-1].end_sample if blocks else 0)
            assert item.samples.dtype == np.int16
            blocks.append(item)
        else:
            faults.append(item)
    assert all(len(block.samples) == 320 for block in blocks[:-1])
    assert 1 <= len(blocks[-1].samples) <= 320
    return blocks, faults


def joined(blocks: Sequence[AudioBlock]) -> npt.NDArray[np.int16]:
    return np.concatenate([block.samples for block in blocks])


def test_16_khz_mono_comes_out_bit_for_bit(tmp_path: Path) -> None:
    samples = np.random.default_rng(1).integers(-32_768, 32_768, 12_345, dtype=np.int16)
    for name in ("a.wav", "a.flac"):
        soundfile.write(tmp_path / name, samples, 16_000, subtype="PCM_16")
        blocks, faults = played(tmp_path / name)
        np.testing.assert_array_equal(joined(blocks), samples)
        assert not faults


@given(st.lists(st.integers(1, 9), min_size=1, max_size=12))
def test_how_much_comes_at_once_changes_no_sample_and_no_time(
    tmp_path_factory: pytest.TempPathFactory, wanted: list[int]
) -> None:
    path = tmp_path_factory.getbasetemp() / "at_once.wav"
    samples = np.random.default_rng(1).integers(-32_768, 32_768, 12_345, dtype=np.int16)
    if not path.exists():
        soundfile.write(path, samples, 16_000, subtype="PCM_16")
    source = FileSource(path)
    orders = cycle(wanted)
    source.frames_at_once = asked = next(orders)
    blocks = []
    for due, block in source.timed(started=100.0):
        assert isinstance(block, AudioBlock)
        assert due == block.captured_at == 100.0 + block.end_sample / 16_000
        assert len(block.samples) == min(asked * 320, len(samples) - block.first_sample)
        blocks.append(block)
        source.frames_at_once = asked = next(orders)
    np.testing.assert_array_equal(joined(blocks), samples)


@pytest.mark.parametrize(
    ("name", "subtype", "rate", "channels"),
    [
        ("a.wav", "PCM_U8", 8_000, 1),
        ("a.wav", "PCM_24", 96_000, 1),
        ("a.wav", "FLOAT", 44_100, 2),
        ("a.wav", "PCM_16", 48_000, 6),
        ("a.flac", "PCM_16", 44_100, 2),
        ("a.ogg", "VORBIS", 48_000, 1),
        ("a.mp3", "MPEG_LAYER_III", 44_100, 2),
    ],
)
def test_other_formats_keep_their_length(
    tmp_path: Path, name: str, subtype: str, rate: int, channels: int
) -> None:
    path = tmp_path / name
    soundfile.write(path, speechlike(1.3, rate, channels), rate, subtype=subtype)
    source = FileSource(path, fast=True)
    blocks, faults = played(path)
    assert source.duration_s == pytest.approx(1.3, abs=0.1)
    assert blocks[-1].end_sample == pytest.approx(source.duration_s * 16_000, abs=1)
    assert joined(blocks).std() > 500
    assert not faults


@pytest.mark.parametrize("rate", [16_000, 48_000])
@pytest.mark.parametrize("suffix", ["flac", "ogg", "mp3"])
@pytest.mark.parametrize("mode", ["CONSTANT", "VARIABLE"])
def test_compressed_sound_is_decoded_as_if_it_was_read_at_once(
    tmp_path: Path, rate: int, suffix: str, mode: str
) -> None:
    path = tmp_path / f"a.{suffix}"
    how = {"bitrate_mode": mode, "compression_level": 0.5} if suffix == "mp3" else {}
    soundfile.write(path, speechlike(3.0, rate), rate, **how)
    whole, _ = soundfile.read(path, dtype="float32", always_2d=True)
    resampler = Resampler(rate, 1)
    expected = np.concatenate((resampler.feed(whole), resampler.flush()))
    blocks, faults = played(path)
    assert len(joined(blocks)) == len(expected)
    assert np.abs(joined(blocks).astype(int) - expected).max() <= 1  # libsndfile's own rounding
    assert not faults


def test_eight_bit_and_many_channels_sound_the_same(tmp_path: Path) -> None:
    wave = speechlike(1.0, 48_000)
    soundfile.write(tmp_path / "mono.wav", wave, 48_000, subtype="PCM_16")
    soundfile.write(tmp_path / "six.wav", np.repeat(wave, 6, 1), 48_000, subtype="PCM_U8")
    mono, _ = played(tmp_path / "mono.wav")
    six, _ = played(tmp_path / "six.wav")
    assert np.abs(joined(mono).astype(int) - joined(six)).max() < 300  # one step of 8 bits is 256


def test_nan_is_played_as_silence_and_told_once(tmp_path: Path) -> None:
    wave = speechlike(1.0)
    wave[8_000:8_100] = np.nan
    wave[9_000] = np.inf
    soundfile.write(tmp_path / "nan.wav", wave, 16_000, subtype="FLOAT")
    blocks, faults = played(tmp_path / "nan.wav")
    samples = joined(blocks)
    assert len(samples) == 16_000
    assert not samples[8_000:8_100].any()
    assert [(fault.code, fault.recovered) for fault in faults] == [("non_finite_samples", True)]
    assert "at 0.500 s" in faults[0].message


@pytest.mark.parametrize("name", ["a.wav", "a.flac", "a.ogg", "a.aiff", "a.au", "a.w64", "a.mp3"])
def test_a_file_cut_off_plays_what_is_there_and_says_so(tmp_path: Path, name: str) -> None:
    whole, cut = tmp_path / name, tmp_path / f"cut-{name}"
    soundfile.write(whole, speechlike(6.0), 16_000)
    content = whole.read_bytes()
    cut.write_bytes(content[: len(content) // 2 + 1])
    all_of_it, _ = played(whole)
    blocks, faults = played(cut)
    assert [(fault.code, fault.recovered) for fault in faults] == [("file_truncated", False)]
    assert 1.5 < blocks[-1].end_sample / 16_000 < 4.5
    if name not in ("a.ogg", "a.mp3"):
        samples = joined(blocks)
        np.testing.assert_array_equal(samples, joined(all_of_it)[: len(samples)])


def write_with_header(path: Path, offset: int, number: int) -> None:
    """A second of sound in a WAV file whose header has this number there."""
    soundfile.write(path, speechlike(1.0), 16_000, subtype="PCM_16")
    content = bytearray(path.read_bytes())
    content[offset : offset + 4] = struct.pack("<I", number)
    path.write_bytes(content)


def test_a_stream_header_without_a_length_is_not_cut_off(tmp_path: Path) -> None:
    path = tmp_path / "piped.wav"
    write_with_header(path, 40, 0xFFFF_FFFF)
    blocks, faults = played(path)
    assert blocks[-1].end_sample == 16_000
    assert not faults


def test_an_impossible_rate_in_a_header_takes_no_memory(tmp_path: Path) -> None:
    path = tmp_path / "fast.wav"
    write_with_header(path, 24, 0x7FFF_FFFF)
    tracemalloc.start()
    try:
        assert not list(FileSource(path, fast=True).blocks())
        assert tracemalloc.get_traced_memory()[1] < 100_000_000
    finally:
        tracemalloc.stop()


def refusal(path: Path) -> str:
    with pytest.raises(SourceError) as caught:
        FileSource(path)
    message = str(caught.value)
    assert str(path) in message
    assert "\n" not in message
    return message


def test_what_is_no_sound_is_refused_in_one_line(tmp_path: Path) -> None:
    assert "no such file" in refusal(tmp_path / "missing.wav")
    assert "folder" in refusal(tmp_path)
    empty = tmp_path / "empty.wav"
    empty.touch()
    assert "empty" in refusal(empty)
    text = tmp_path / "text.wav"
    text.write_text("this is no sound\n" * 100)
    assert "not a sound file" in refusal(text)
    header_only = tmp_path / "header.wav"
    soundfile.write(header_only, np.zeros(0), 16_000)
    assert "no samples" in refusal(header_only)
    headless = tmp_path / "headless.wav"
    headless.write_bytes(header_only.read_bytes()[:20])
    assert "not a sound file" in refusal(headless)
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    assert "no regular file" in refusal(pipe)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_forbidden_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "secret.wav"
    soundfile.write(path, speechlike(0.1), 16_000)
    path.chmod(0)
    assert "permissions" in refusal(path)


def test_real_time_blocks_come_when_due_and_never_earlier(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    soundfile.write(path, speechlike(0.5), 16_000)
    source = FileSource(path)
    assert source.live
    began: list[float] = []
    started = time.monotonic()
    for block in source.blocks():
        assert isinstance(block, AudioBlock)
        assert time.monotonic() - started >= block.end_sample / 16_000
        assert block.captured_at <= time.monotonic() + 0.001
        assert block.captured_at - started >= block.end_sample / 16_000 - 0.001
        if block.first_sample == 3_200:
            time.sleep(0.15)  # a late consumer is caught up with: the due times do not drift
        began.append(block.captured_at - block.end_sample / 16_000)
    assert began == pytest.approx([began[0]] * 25)


def test_fast_is_faster_than_real_time_and_waits_for_the_consumer(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    soundfile.write(path, speechlike(60.0), 16_000)
    source = FileSource(path, fast=True)
    assert not source.live
    started = time.monotonic()
    assert sum(1 for _ in source.blocks()) == 3_000
    assert time.monotonic() - started < 60


def test_closing_ends_a_file_that_waits(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    soundfile.write(path, speechlike(30.0), 16_000)
    source = FileSource(path)
    threading.Timer(0.2, source.close).start()
    assert sum(1 for _ in source.blocks()) < 1_500
    source.close()
