"""A subscriber in a process of its own: ``python -m edgeser.bench.receiver ENDPOINT``.

Prints a line per event: the time at which it was decoded, and the event as it came.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from edgeser.events.schema import AnyEvent, decode
from edgeser.events.sequence import Gap
from edgeser.events.subscriber import Subscriber


def main(endpoint: str) -> None:
    with Subscriber(endpoint) as subscriber:
        for event in subscriber:
            received_at = time.time()
            payload = (
                json.dumps({"gap": [event.topic, event.from_seq, event.to_seq]})
                if isinstance(event, Gap)
                else subscriber.payload.decode()
            )
            print(f"{received_at!r} {payload}", flush=True)


class Receiver:
    """Reads what the subscriber process prints: events with the time of their reception."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.pid = process.pid
        self._process = process
        self.gaps = 0

    def __iter__(self) -> Iterator[tuple[float, AnyEvent]]:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            received_at, _, payload = line.partition(" ")
            if payload.startswith('{"gap"'):
                self.gaps += 1
            else:
                yield float(received_at), decode(payload.encode())


@contextmanager
def receiver(endpoint: str) -> Iterator[Receiver]:
    """A subscriber process, gone with the block."""
    process = subprocess.Popen(
        [sys.executable, "-m", "edgeser.bench.receiver", endpoint],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        yield Receiver(process)
    finally:
        process.kill()
        process.wait()


if __name__ == "__main__":
    try:
        main(sys.argv[1])
    except KeyboardInterrupt:
        sys.exit(130)
