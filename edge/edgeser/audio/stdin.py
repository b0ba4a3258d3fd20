"""Raw sound from a pipe: 16 kHz mono, signed 16 bit, little-endian."""

from __future__ import annotations

import os
import select
import threading
import time
from collections.abc import Iterator
from typing import BinaryIO

import numpy as np

from edgeser.audio.source import AudioBlock, AudioFault, SourceError
from edgeser.pcm import FRAME_SAMPLES, SAMPLE_RATE, Samples

_READ_BYTES = 65_536
_CLOSE_WITHIN_MS = 100
_BYTES_PER_S = 2 * SAMPLE_RATE

_FILE_STARTS = {b"RIFF": "WAV", b"fLaC": "FLAC", b"OggS": "Ogg", b"FORM": "AIFF"}


class RawSource:
    """Reads raw samples from a pipe, socket or file until its end.

    Nothing is dropped: the writer waits while the daemon is busy (``live`` is False), since a
    pipe may well deliver faster than real time. ``captured_at`` is the time of arrival. Blocks
    are regular (``frames_at_once`` times 320 samples), the last may be shorter.

    ``stream`` must have a file descriptor, and nothing may have been read from it before.
    Raises SourceError here for a terminal, and in ``blocks`` for a sound file with a header.

    Fault: ``odd_byte``, when the stream ends in the middle of a sample.
    """

    name = "stdin"
    live = False
    restarts = 0
    frames_at_once = 1
    block_size_is_immediate = True

    def __init__(self, stream: BinaryIO) -> None:
        self._fd = stream.fileno()
        self._closed = threading.Event()
        self._held = bytearray()  # received, but not yet in a block
        if os.isatty(self._fd):
            raise SourceError("stdin: a terminal", "pipe raw 16 kHz mono s16le sound into it")

    def blocks(self) -> Iterator[AudioBlock | AudioFault]:
        """Yield what arrives, until the end of the stream."""
        position = 0
        arrived_at = 0.0
        for received in self._received():
            if arrived_at == 0.0:
                self._refuse_sound_file(received)
            arrived_at = time.monotonic()
            self._held += received
            while len(self._held) >= self._wanted_bytes:
                samples = self._taken(self._wanted_bytes)
                yield AudioBlock(samples, position, arrived_at)
                position += len(samples)
        if self._closed.is_set():
            return
        rest = self._taken(len(self._held) // 2 * 2)
        if len(rest):
            yield AudioBlock(rest, position, arrived_at)
        if self._held:
            yield AudioFault(
                "odd_byte",
                f"{self.name}: the stream ended in the middle of a sample; is it 16 bit sound?",
                recovered=False,
            )

    def close(self) -> None:
        """End ``blocks`` within 0.1 s, also while the pipe is silent."""
        self._closed.set()

    def _received(self) -> Iterator[bytes]:
        poll = select.poll()
        poll.register(self._fd, select.POLLIN)
        while not self._closed.is_set():
            if not poll.poll(_CLOSE_WITHIN_MS):
                continue
            try:
                received = os.read(self._fd, _READ_BYTES)
            except OSError as error:
                raise SourceError(f"{self.name}: cannot be read: {error.strerror}") from None
            if not received:
                return
            yield received
            # It comes in small pieces, at real time: sleep until there is enough for a block.
            if len(received) < self._wanted_bytes:
                self._closed.wait((self._wanted_bytes - len(self._held)) / _BYTES_PER_S)

    @property
    def _wanted_bytes(self) -> int:
        """Length of the next block."""
        return self.frames_at_once * FRAME_SAMPLES * 2

    def _taken(self, size: int) -> Samples:
        """Remove the first ``size`` bytes of what is held, and return them as samples."""
        samples = np.frombuffer(bytes(self._held[:size]), "<i2").astype(np.int16)
        del self._held[:size]
        return samples

    def _refuse_sound_file(self, received: bytes) -> None:
        if kind := sound_file_kind(received):
            raise SourceError(
                f"{self.name}: a {kind} file",
                "give its name as the source, or pipe raw 16 kHz mono s16le sound",
            )


def sound_file_kind(received: bytes) -> str | None:
    """The kind of sound file that begins with these bytes; None if they may be raw samples."""
    return _FILE_STARTS.get(received[:4])
