"""A network microphone as a source: its bytes placed in time, and faults while it is away."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from edgeser.audio.network.rate_limit import RateLimit
from edgeser.audio.pace import Pace
from edgeser.audio.source import AudioBlock, AudioFault
from edgeser.audio.timeline import Timeline
from edgeser.pcm import SAMPLE_RATE

if TYPE_CHECKING:
    from edgeser.audio.network.server import NetworkServer

UNSEEN_S = 10.0
"""A device that has not connected this long after the start is away."""


class NetworkStream:
    """The stream of one device, whichever connection it comes over.

    ``captured_at`` is the time of arrival, less the delay beyond the most punctual chunk of the
    last seconds; the network's minimum delay is not subtracted. Positions follow the clock across
    connections, as a microphone's do. A block is what arrived together, a second at most, and
    ``frames_at_once`` frames at least.

    Faults: ``audio_lost`` when nothing came for ``stall_s``, when the connection ended, or when
    the device has not connected at all; ``audio_restored`` before the first block after it;
    ``audio_pace`` when sound comes faster or slower than time passes, and when it no longer does.
    """

    live = True
    frames_at_once = 1
    block_size_is_immediate = True

    def __init__(self, name: str, server: NetworkServer, stall_s: float, now: float) -> None:
        self.name = name
        self.server = server
        self.restarts = 0
        self.is_closed = False
        self.is_lost = False
        self.connected_at = float("-inf")
        """When its device connected last, in monotonic seconds."""
        self.rate_limit = RateLimit(now)
        """Of all its connections together."""
        self._title = f"network microphone '{name}'"
        self._stall_s = stall_s
        self._timeline = Timeline()
        self._pace = Pace()
        self._heard_at = now
        self._peer: str | None = None
        self._odd = b""

    def blocks(self) -> Iterator[AudioBlock | AudioFault]:
        """Yield what this device sends. For a server with several, use ``server.items()``."""
        for stream, item in self.server.items():
            if stream is self:
                yield item

    def close(self) -> None:
        """Stop this stream; when all streams are closed, the server ends within 0.1 s."""
        self.is_closed = True

    @property
    def is_connected(self) -> bool:
        """Whether the device is connected."""
        return self._peer is not None

    def connected(self, peer: str, now: float) -> None:
        """Begin with a new connection; ``peer`` is its address, for people."""
        if self._timeline.end:
            self.restarts += 1
            self._timeline.interrupt()
        self._peer, self._odd = peer, b""
        self.connected_at = self._heard_at = now

    def arrived(self, received: bytes, now: float) -> Iterator[AudioBlock | AudioFault]:
        """The items of the bytes that have just arrived; ``now``: monotonic seconds."""
        received = self._odd + received
        whole = len(received) - len(received) % 2
        self._odd = received[whole:]
        self._heard_at = now
        samples = np.frombuffer(received[:whole], "<i2").astype(np.int16)
        if not len(samples):
            return
        end_before = self._timeline.end
        first, captured_at = self._timeline.place(len(samples), now, False)
        device = f"{self._title} ({self._peer})"
        if self.is_lost:
            self.is_lost = False
            missed_s = (first - end_before) / SAMPLE_RATE
            words = f"{device}: sound is back, {missed_s:.2f} s of it were missed"
            yield AudioFault("audio_restored", words, recovered=True)
        if fault := self._pace.fault(len(samples), now, device, "is it 16 kHz, mono, 16 bit?"):
            yield fault
        yield AudioBlock(samples, first, captured_at)

    def resumed(self, now: float) -> None:
        """Reading was paused for a while, which does not count as silence of the device."""
        self._heard_at = now

    def disconnected(self, why: str) -> Iterator[AudioFault]:
        """The connection has ended."""
        peer, self._peer = self._peer, None
        yield from self._lose(f" ({peer}): {why}")

    def check_timeouts(self, now: float) -> Iterator[AudioFault]:
        """The fault, if any, when nothing arrives; to be called a few times a second."""
        silent_s = now - self._heard_at
        if self._peer is not None and silent_s >= self._stall_s:
            yield from self._lose(f" ({self._peer}): no sound for {self._stall_s:g} s")
        elif self._peer is None and silent_s >= UNSEEN_S:
            yield from self._lose(": has not connected")

    def _lose(self, why: str) -> Iterator[AudioFault]:
        if not self.is_lost:
            self.is_lost = True
            yield AudioFault("audio_lost", f"{self._title}{why}", recovered=False)
