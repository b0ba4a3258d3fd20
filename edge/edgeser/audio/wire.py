"""The messages of the capture process on its pipe: a fixed header and a payload each.

Header (little-endian): two letters ``ES``, kind, overflow flag, payload bytes, capture time.
Imports nothing heavy: the capture process stays small.
"""

from __future__ import annotations

import enum
import json
import struct
from collections.abc import Iterator
from typing import Any, NamedTuple

_HEADER = struct.Struct("<2sBBId")
_MAGIC = b"ES"
_MAX_PAYLOAD_BYTES = 1 << 24


class Kind(enum.IntEnum):
    """The kind of a payload."""

    OPENED = 1
    """JSON ``{device, rate, channels, latency_s}``: the stream that follows. Comes first."""
    AUDIO = 2
    """Interleaved int16 samples in this machine's byte order."""
    ERROR = 3
    """JSON ``{message, fix}``: why the capture process ends; ``fix`` may be null. Comes last."""


class Message(NamedTuple):
    """One message; the fields after ``payload`` have a meaning for AUDIO only.

    ``captured_at``: seconds on the monotonic clock at which the last frame was captured.
    ``overflowed``: PortAudio dropped samples just before this block.
    """

    kind: Kind
    payload: bytes
    captured_at: float = 0.0
    overflowed: bool = False

    def json(self) -> dict[str, Any]:
        """The payload of an OPENED or ERROR message."""
        fields: dict[str, Any] = json.loads(self.payload)
        return fields


def header(kind: Kind, payload_bytes: int, captured_at: float, overflowed: bool) -> bytes:
    """The bytes that go before a payload."""
    return _HEADER.pack(_MAGIC, kind, overflowed, payload_bytes, captured_at)


def packed(kind: Kind, fields: dict[str, Any]) -> bytes:
    """A whole OPENED or ERROR message."""
    payload = json.dumps(fields).encode()
    return header(kind, len(payload), 0.0, False) + payload


class Parser:
    """Makes messages out of a stream of bytes, however it was split."""

    def __init__(self) -> None:
        self._bytes = bytearray()

    def feed(self, received: bytes) -> Iterator[Message]:
        """Yield the messages that are complete now. Raises ValueError for anything else."""
        self._bytes += received
        while len(self._bytes) >= _HEADER.size:
            magic, kind, overflowed, length, captured_at = _HEADER.unpack_from(self._bytes)
            if magic != _MAGIC or length > _MAX_PAYLOAD_BYTES:
                raise ValueError(f"expected a message, got {bytes(self._bytes[:16])!r}")
            end = _HEADER.size + length
            if len(self._bytes) < end:
                return
            payload = bytes(self._bytes[_HEADER.size : end])
            del self._bytes[:end]
            yield Message(Kind(kind), payload, captured_at, bool(overflowed))
