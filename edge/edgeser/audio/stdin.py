"""Raw sound from a pipe: 16 kHz mono, signed 16 bit, little-endian."""

from __future__ import annotations

import os
import select
import threading
import time
from collections.abc import Iterator
from typing import BinaryIO

import numpy as np

from edgeser.audio.cutter import Cutter
from edgeser.audio.source import AudioBlock, AudioFault, SourceError

_READ_BYTES = 65_536
_CLOSE_WITHIN_MS = 100

_FILE_STARTS = {b"RIFF": "WAV", b"fLaC": "FLAC", b"OggS": "Ogg", b"FORM": "AIFF"}


class RawSource:
    """Reads raw samples from a pipe, socket or file until its end.

    Nothing is dropped: the writer waits while the daemon is busy (``live`` is False), since a
    pipe may well deliver faster than real time. ``captured_at`` is the time of arrival. Blocks
    are regular (320 samples), the last may be shorter.

    ``stream`` must have a file descriptor, and nothing may have been read from it before.
    Raises SourceError here for a terminal, and in ``blocks`` for a sound file with a header.

    Fault: ``odd_byte``, when the stream ends in the middle of a sample.
    """

    live = False
    restarts = 0
    frames_at_once = 1

    def __init__(self, stream: BinaryIO, name: str = "stdin") -> None:
        self.name = name
        self._fd = stream.fileno()
        self._closed = threading.Event()
        if os.isatty(self._fd):
            raise SourceError(f"{name}: a terminal", "pipe raw 16 kHz mono s16le sound into it")

    def blocks(self) -> Iterator[AudioBlock | AudioFault]:
        """Yield what arrives, until the end of the stream."""
        cutter = Cutter()
        position = 0
        odd = b""
        arrived_at = 0.0
        for received in self._received():
            if arrived_at == 0.0:
                self._refuse_sound_file(received)
            arrived_at = time.monotonic()
            received = odd + received
            whole = len(received) - len(received) % 2
            odd = received[whole:]
            for samples in cutter.cut(np.frombuffer(received[:whole], "<i2").astype(np.int16)):
                yield AudioBlock(samples, position, arrived_at)
                position += len(samples)
        if self._closed.is_set():
            return
        rest = cutter.rest()
        if len(rest):
            yield AudioBlock(rest, position, arrived_at)
        if odd:
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

    def _refuse_sound_file(self, received: bytes) -> None:
        if kind := sound_file_kind(received):
            raise SourceError(
                f"{self.name}: a {kind} file",
                "give its name as the source, or pipe raw 16 kHz mono s16le sound",
            )


def sound_file_kind(received: bytes) -> str | None:
    """What kind of sound file begins so; None for what may be raw samples."""
    return _FILE_STARTS.get(received[:4])
