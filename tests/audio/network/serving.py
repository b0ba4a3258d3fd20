"""A running server for network microphones, and devices that connect to it."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

from edgeser.audio.network.address import parse_address
from edgeser.audio.network.server import (
    NetworkServer,
)
from edgeser.audio.network.tokens import digest
from edgeser.audio.source import AudioBlock, AudioFault
from edgeser.pcm import SAMPLE_RATE
from tests.patience import PATIENCE_S
from tests.sounds import speech

KITCHEN, HALL = "kitchen-0123456789abcdef", "hall-0123456789abcdef"
NAMES = {digest(KITCHEN.encode()): "kitchen", digest(HALL.encode()): "hall"}
TEN_S = speech()[: 10 * SAMPLE_RATE]


class Clock:
    """The server's time: only a test advances it, however busy the machine is."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


class Heard:
    """A server that runs in a thread, and what it has received of each stream."""

    def __init__(self, server: NetworkServer) -> None:
        self.server = server
        self.items: dict[str, list[AudioBlock | AudioFault]] = {s.name: [] for s in server.streams}
        self.idle = threading.Event()
        self.idle.set()
        self.busy_with: str | None = None
        self.thread = threading.Thread(target=self._hear, daemon=True)
        self.thread.start()

    def _hear(self) -> None:
        for stream, item in self.server.items():
            self.items[stream.name].append(item)
            self.busy_with = stream.name
            self.idle.wait(PATIENCE_S)
            self.busy_with = None

    def blocks(self, name: str) -> list[AudioBlock]:
        return [item for item in self.items[name] if isinstance(item, AudioBlock)]

    def samples(self, name: str) -> list[int]:
        heard = [block.samples for block in self.blocks(name)]
        return np.concatenate(heard).tolist() if heard else []

    def faults(self, name: str) -> list[str]:
        return [item.code for item in self.items[name] if isinstance(item, AudioFault)]

    @property
    def port(self) -> int:
        return self.server.address.port


@contextmanager
def serving(
    names: dict[bytes, str] | None = NAMES,
    tls: ssl.SSLContext | None = None,
    stall_s: float = 0.5,
) -> Iterator[Heard]:
    heard = Heard(NetworkServer(parse_address("tcp://127.0.0.1:0"), names, tls, stall_s))
    try:
        yield heard
    finally:
        for stream in heard.server.streams:
            stream.close()
        heard.thread.join(PATIENCE_S)
        assert not heard.thread.is_alive()


def device(heard: Heard, token: str | None = KITCHEN) -> socket.socket:
    connected = socket.create_connection(("127.0.0.1", heard.port), PATIENCE_S)
    if token is not None:
        connected.sendall(f"{token}\n".encode())
    return connected


def answer(connected: socket.socket) -> str:
    with connected, connected.makefile() as lines:
        return lines.readline().strip()
