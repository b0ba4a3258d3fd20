"""The source a user named: ``mic``, ``-``, a file, or an address for network microphones."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from edgeser.audio.file import FileSource
from edgeser.audio.microphone import Microphone
from edgeser.audio.source import Source, SourceError
from edgeser.audio.stdin import RawSource
from edgeser.paths import expanded

if TYPE_CHECKING:
    import ssl

    from edgeser.audio.network.address import Address
    from edgeser.audio.network.stream import NetworkStream
    from edgeser.settings.schema import AudioSettings


def open_sources(
    wanted: Sequence[AudioSettings], *, fast: bool = False, wait: bool = False
) -> dict[str, Source]:
    """Open every source, by the name of its stream. Raises SourceError."""
    check_names(wanted)
    opened: dict[str, Source] = {}
    for audio in wanted:
        if audio.is_network:
            opened |= {stream.name: stream for stream in _network(audio, fast=fast)}
        else:
            opened[audio.name] = _opened(audio, fast=fast, wait=wait)
    return opened


def check_names(wanted: Sequence[AudioSettings]) -> None:
    """Check that each stream has a name of its own. Raises SourceError, also for bad tokens."""
    known: set[str] = set()
    for audio in wanted:
        for name in stream_names(audio):
            if name in known:
                raise SourceError(f"stream '{name}': two sources have this name", "rename one")
            known.add(name)


def stream_names(audio: AudioSettings) -> list[str]:
    """Names of a source's streams. Raises SourceError for tokens that cannot be read."""
    if audio.tokens is None:
        return [audio.name]
    from edgeser.audio.network.tokens import read_tokens

    return list(read_tokens(expanded(audio.tokens)).values())


def _opened(audio: AudioSettings, *, fast: bool, wait: bool) -> Source:
    return open_source(
        audio.source,
        fast=fast,
        wait=wait,
        device=audio.device,
        channel=audio.channel,
        stall_s=audio.stall_seconds,
    )


def network_parts(
    audio: AudioSettings,
) -> tuple[Address, dict[bytes, str] | None, ssl.SSLContext | None]:
    """Address, names by token, and TLS of network microphones. Raises UserError."""
    from edgeser.audio.network.address import parse_address
    from edgeser.audio.network.server import tls_context
    from edgeser.audio.network.tokens import read_tokens

    names = read_tokens(expanded(audio.tokens)) if audio.tokens else None
    tls = None
    if audio.certificate and audio.certificate_key:
        tls = tls_context(expanded(audio.certificate), expanded(audio.certificate_key))
    return parse_address(audio.source), names, tls


def _network(audio: AudioSettings, *, fast: bool) -> list[NetworkStream]:
    from edgeser.audio.network.server import NetworkServer

    if fast:
        raise SourceError("--fast: a network microphone has one speed", "leave --fast out")
    return NetworkServer(*network_parts(audio), audio.stall_seconds, audio.name).streams


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

    ``fast`` plays a file as fast as possible. ``device`` and ``channel`` choose a microphone; one
    that delivers nothing for ``stall_s`` is lost; ``wait`` awaits one that is missing. Raises
    SourceError for a file that cannot be played, and for options the source does not have. Errors
    of a microphone are raised in ``blocks``.
    """
    if fast and spec == "mic":
        raise SourceError("--fast: a microphone has one speed", "leave --fast out, or play a file")
    if fast and spec == "-":
        raise SourceError("--fast: standard input is read as fast as it comes", "leave --fast out")
    if spec != "mic" and (device is not None or channel is not None):
        raise SourceError(f"{spec!r}: this is not a microphone", "leave device and channel out")
    if spec == "mic":
        return Microphone(device, channel=channel, stall_s=stall_s, wait=wait)
    if spec == "-":
        if sys.stdin is None:
            raise SourceError("-: there is no standard input", "pipe sound in, or give a file")
        return RawSource(sys.stdin.buffer)
    return FileSource(spec, fast)
