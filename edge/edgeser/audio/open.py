"""The source a user named: ``mic``, ``-`` or a file."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from edgeser.audio.file import FileSource
from edgeser.audio.microphone import Microphone
from edgeser.audio.source import Source, SourceError
from edgeser.audio.stdin import RawSource

if TYPE_CHECKING:
    from edgeser.settings.schema import AudioSettings


def open_sources(
    wanted: Sequence[AudioSettings], *, fast: bool = False, wait: bool = False
) -> dict[str, Source]:
    """Open every source, by the name of its stream. Raises SourceError."""
    opened: dict[str, Source] = {}
    for audio in wanted:
        source = open_source(
            audio.source,
            fast=fast,
            wait=wait,
            device=audio.device,
            channel=audio.channel,
            stall_s=audio.stall_seconds,
        )
        if audio.name in opened:
            raise SourceError(f"stream '{audio.name}': two sources are called so")
        opened[audio.name] = source
    return opened


def open_source(
    spec: str,
    *,
    fast: bool = False,
    wait: bool = False,
    device: str | None = None,
    channel: int | None = None,
    stall_s: float = 1.5,
) -> Source:
    """Open ``mic``, ``-`` (raw 16 kHz mono s16le on standard input) or the path of a sound file.

    ``fast`` plays a file as fast as it can; ``device`` and ``channel`` choose a microphone's;
    a microphone that is silent for ``stall_s`` is lost; ``wait`` for one that is not there.
    Raises SourceError for a file that cannot be played, and for options the source does not have.
    What is wrong with a microphone shows in ``blocks``.
    """
    if fast and spec == "mic":
        raise SourceError("--fast: a microphone has one speed", "leave --fast out, or play a file")
    if fast and spec == "-":
        raise SourceError("--fast: standard input is read as fast as it comes", "leave --fast out")
    if spec != "mic" and (device is not None or channel is not None):
        raise SourceError(f"{spec!r}: this is no microphone", "leave device and channel out")
    if spec == "mic":
        return Microphone(device, channel=channel, stall_s=stall_s, wait=wait)
    if spec == "-":
        if sys.stdin is None:
            raise SourceError("-: there is no standard input", "pipe sound in, or give a file")
        return RawSource(sys.stdin.buffer)
    return FileSource(spec, fast)
