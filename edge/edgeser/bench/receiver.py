"""A subscriber in a process of its own: ``python -m edgeser.bench.receiver ENDPOINT``.

Prints a line per event: the time at which it was decoded, and the event as it came.
"""

from __future__ import annotations

import json
import logging
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from edgeser.bench.process import DaemonProcess, end_with_parent
from edgeser.errors import UserError
from edgeser.events.schema import AnyEvent, decode
from edgeser.events.sequence import Gap
from edgeser.events.subscribe.subscriber import Subscriber
from edgeser.module_command import module_command

HANG_S = 60.0
"""A daemon publishes its status every second: one that is silent for this long hangs."""

PATIENCE_S = 2.0
"""How long to wait for more events from a daemon that has ended."""


def main(endpoint: str) -> None:
    # The benchmark itself reports, in one line, if the daemon is not there.
    logging.getLogger("edgeser").setLevel(logging.ERROR)
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

    def __init__(self, process: subprocess.Popen[bytes], daemon: DaemonProcess) -> None:
        self.pid = process.pid
        self.gaps = 0
        self._process = process
        self._daemon = daemon

    def __iter__(self) -> Iterator[tuple[float, AnyEvent]]:
        """Endless: the caller stops when the daemon's status says that it stops.

        Raises UserError when nothing more will come: the daemon or the subscriber has died, or the
        daemon hangs.
        """
        for line in self._lines():
            received_at, _, payload = line.partition(b" ")
            if payload.startswith(b'{"gap"'):
                self.gaps += 1
            else:
                yield float(received_at), decode(payload)
        with suppress(subprocess.TimeoutExpired):  # the cause may be ending the daemon, too
            self._daemon.process.wait(PATIENCE_S)
        if self._daemon.has_ended:
            raise self._daemon.death()
        raise UserError(f"the subscriber of the benchmark ended with {self._process.wait()}")

    def _lines(self) -> Iterator[bytes]:
        rest = b""
        while printed := self._printed():
            *lines, rest = (rest + printed).split(b"\n")
            yield from lines

    def _printed(self) -> bytes:
        """New output of the subscriber; empty when it has ended, or the daemon some time ago."""
        assert self._process.stdout is not None
        output = self._process.stdout.fileno()
        silent_since = time.monotonic()
        while True:
            had_ended = self._daemon.has_ended  # before the select: its last events may arrive now
            if select.select([output], [], [], PATIENCE_S)[0]:
                return os.read(output, 65_536)
            if had_ended:
                return b""
            if (silent_s := time.monotonic() - silent_since) > HANG_S:
                raise UserError(
                    f"the daemon hangs: nothing came from it for {silent_s:.0f} s",
                    "run 'edgeser run' by hand, and 'kill -ABRT' it to see where it is",
                )


@contextmanager
def receiver(daemon: DaemonProcess) -> Iterator[Receiver]:
    """A subscriber process that follows the daemon, and is ended with the block."""
    process = subprocess.Popen(
        module_command("edgeser.bench.receiver", daemon.endpoint),
        stdout=subprocess.PIPE,
        preexec_fn=end_with_parent,
    )
    try:
        yield Receiver(process, daemon)
    finally:
        process.kill()
        process.wait()


if __name__ == "__main__":
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # end with the reader
    try:
        main(sys.argv[1])
    except KeyboardInterrupt:
        sys.exit(130)
