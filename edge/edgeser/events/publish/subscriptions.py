"""The subscriptions that the publisher's socket has received."""

from __future__ import annotations

from collections import Counter

import zmq

_AT_ONCE = 256


class Subscriptions:
    """The subscriptions at present. One thread reads, any may ask."""

    def __init__(self) -> None:
        self._counts: Counter[bytes] = Counter()

    def __len__(self) -> int:
        """How many; a subscriber has one for each topic prefix that it asked for."""
        return sum(dict(self._counts).values())

    def wants(self, beginning: bytes) -> bool:
        """Whether somebody asked for topics with this prefix, not counting those who want all."""
        return any(topic.startswith(beginning) for topic in list(self._counts))

    def read(self, socket: zmq.Socket[bytes]) -> bool:
        """Read an XPUB socket's messages; returns whether there was a new subscription."""
        somebody_came = False
        for _ in range(_AT_ONCE):
            try:
                message = socket.recv(zmq.NOBLOCK)
            except zmq.Again:
                break
            topic = message[1:]
            if message[:1] == b"\x01":
                self._counts[topic] += 1
                somebody_came = True
            elif message[:1] == b"\x00" and topic in self._counts:
                self._counts[topic] -= 1
                if not self._counts[topic]:
                    del self._counts[topic]
        return somebody_came
