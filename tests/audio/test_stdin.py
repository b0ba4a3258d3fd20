from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from typing import BinaryIO

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeser.audio.source import AudioBlock, AudioFault, SourceError
from edgeser.audio.stdin import RawSource


@pytest.fixture
def pipe() -> Iterator[tuple[BinaryIO, BinaryIO]]:
    read_fd, write_fd = os.pipe()
    with open(read_fd, "rb") as reader, open(write_fd, "wb", buffering=0) as writer:
        yield reader, writer


def received(content: bytes, sizes: list[int]) -> list[AudioBlock | AudioFault]:
    read_fd, write_fd = os.pipe()

    def write() -> None:
        with open(write_fd, "wb", buffering=0) as writer:
            start = 0
            for size in [*sizes, len(content)]:
                writer.write(content[start : start + size])
                start += size

    writing = threading.Thread(target=write)
    writing.start()
    with open(read_fd, "rb") as reader:
        items = list(RawSource(reader).blocks())
    writing.join()
    return items


@given(
    samples=st.integers(0, 3_000),
    odd=st.booleans(),
    sizes=st.lists(st.integers(1, 2_000), max_size=8),
)
@settings(max_examples=40, deadline=None)
def test_every_sample_arrives_once_however_the_pipe_splits_it(
    samples: int, odd: bool, sizes: list[int]
) -> None:
    sent = np.random.default_rng(samples).integers(-32_768, 32_768, samples).astype("<i2")
    items = received(sent.tobytes() + b"\x01" * odd, sizes)
    faults = [item.code for item in items if isinstance(item, AudioFault)]
    blocks = [item for item in items if isinstance(item, AudioBlock)]
    assert faults == ["odd_byte"] * odd
    assert [len(block.samples) for block in blocks] == [320] * (samples // 320) + (
        [samples % 320] if samples % 320 else []
    )
    assert [block.first_sample for block in blocks] == list(range(0, samples, 320))
    np.testing.assert_array_equal(
        np.concatenate([np.zeros(0), *(block.samples for block in blocks)]), sent
    )


def test_blocks_come_before_the_end_and_carry_the_time_of_arrival(
    pipe: tuple[BinaryIO, BinaryIO],
) -> None:
    reader, writer = pipe
    source = RawSource(reader)
    assert not source.live
    assert source.name == "stdin"
    before = time.monotonic()
    writer.write(bytes(700))
    block = next(iter(source.blocks()))
    assert isinstance(block, AudioBlock)
    assert before <= block.captured_at <= time.monotonic()


def test_as_much_comes_at_once_as_is_asked_for(pipe: tuple[BinaryIO, BinaryIO]) -> None:
    reader, writer = pipe
    source = RawSource(reader)
    source.frames_at_once = 5
    sent = np.random.default_rng(1).integers(-32_768, 32_768, 16_000).astype("<i2")

    def write() -> None:
        for part in np.split(sent, 100):
            writer.write(part.tobytes())
        writer.close()

    writing = threading.Thread(target=write)
    writing.start()
    lengths = []
    for number, block in enumerate(source.blocks()):
        assert isinstance(block, AudioBlock)
        np.testing.assert_array_equal(block.samples, sent[block.first_sample : block.end_sample])
        lengths.append(len(block.samples))
        source.frames_at_once = 1 if number == 4 else 5
    writing.join()
    assert lengths == [1_600] * 5 + [320] + [1_600] * 4 + [1_280]


def test_closing_ends_a_silent_pipe(pipe: tuple[BinaryIO, BinaryIO]) -> None:
    reader, writer = pipe
    source = RawSource(reader)
    writer.write(bytes(700))
    threading.Timer(0.2, source.close).start()
    assert len(list(source.blocks())) == 1
    source.close()


def test_a_sound_file_is_refused(pipe: tuple[BinaryIO, BinaryIO]) -> None:
    reader, writer = pipe
    writer.write(b"RIFF1234WAVEfmt ")
    with pytest.raises(SourceError, match="a WAV file; give its name"):
        next(iter(RawSource(reader).blocks()))


def test_a_terminal_is_refused() -> None:
    leader, follower = os.openpty()
    with (
        open(leader, "rb", buffering=0),
        open(follower, "rb", buffering=0) as terminal,
        pytest.raises(SourceError, match="a terminal"),
    ):
        RawSource(terminal)  # type: ignore[arg-type]
