"""Reads and writes the wire format of protocol buffers, as far as needed, without a library."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeAlias

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5

Value: TypeAlias = "int | memoryview"
"""Value of a field: a number, or the bytes of a text, of a message or of an array."""


def fields(message: memoryview) -> Iterator[tuple[int, Value]]:
    """Number and value of each field. Raises ValueError or IndexError for malformed bytes."""
    at = 0
    while at < len(message):
        tag, at = _varint(message, at)
        kind = tag & 7
        if kind == _VARINT:
            value, at = _varint(message, at)
            yield tag >> 3, value
            continue
        if kind == _BYTES:
            size, at = _varint(message, at)
        elif kind in (_FIXED32, _FIXED64):
            size = 4 if kind == _FIXED32 else 8
        else:
            raise ValueError(f"wire type {kind}")
        if at + size > len(message):
            raise ValueError("cut off")
        yield tag >> 3, message[at : at + size]
        at += size


def message(value: Value) -> memoryview:
    """The value as bytes. Raises ValueError for a number."""
    if isinstance(value, int):
        raise ValueError("a number where a message was expected")
    return value


def texts(value: Value, field: int) -> list[str]:
    """The values of a repeated field of a message, as text."""
    return [str(message(v), "utf-8") for f, v in fields(message(value)) if f == field]


def packed(field: int, value: int | str | bytes) -> bytes:
    """A field as it is written; numbers are at least 0, bytes may be a message."""
    if isinstance(value, int):
        return _packed_varint(field << 3 | _VARINT) + _packed_varint(value)
    content = value.encode() if isinstance(value, str) else value
    return _packed_varint(field << 3 | _BYTES) + _packed_varint(len(content)) + content


def _varint(message: memoryview, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = message[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
        if shift > 63:
            raise ValueError("a number that never ends")


def _packed_varint(value: int) -> bytes:
    parts = bytearray()
    while value > 0x7F:
        parts.append(value & 0x7F | 0x80)
        value >>= 7
    parts.append(value)
    return bytes(parts)
