"""Which thread hears which source.

Each source has its own, with three exceptions. All microphones that connect to the same address
share one. So do all files that play in real time: with a thread for each, switching between them
would cost as much as the work itself. Files that play as fast as they can share a few: more would
starve the threads that publish and keep events.
"""

from __future__ import annotations

import heapq
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from functools import partial

from edgeser.audio.file import FileSource
from edgeser.audio.network.server import NetworkServer
from edgeser.audio.network.stream import NetworkStream
from edgeser.audio.source import AudioBlock, AudioFault
from edgeser.daemon.intake import Intake

MAX_FAST_THREADS = 8
"""Threads for files that play as fast as they can; one worker runs the model for all of them."""


def source_threads(intakes: Mapping[str, Intake]) -> list[tuple[str, Callable[[], None]]]:
    """Name and work of each thread; together they hear all sources to their ends.

    Streams may be called as a thread of several is, and two addresses may have the same port.
    """
    played: list[tuple[FileSource, Intake]] = []
    fast: dict[str, Intake] = {}
    served: dict[NetworkServer, dict[str, Intake]] = {}
    heard: list[tuple[str, Callable[[], None]]] = []
    for name, intake in intakes.items():
        source = intake.source
        if isinstance(source, NetworkStream):
            served.setdefault(source.server, {})[source.name] = intake
        elif not isinstance(source, FileSource):
            heard.append((name, intake.listen))
        elif source.live:
            played.append((source, intake))
        else:
            fast[name] = intake
    for server, devices in served.items():
        heard.append((f"network-{server.address.port}", partial(serve, server, devices)))
    if played:
        heard.append(("files", partial(play, played)))
    waiting = deque(fast.values())
    heard += [(name, partial(_hear_in_turn, waiting)) for name in list(fast)[:MAX_FAST_THREADS]]
    return heard


def serve(server: NetworkServer, devices: Mapping[str, Intake]) -> None:
    """Hear the devices that connect, each by the intake of its name, until all are closed."""
    try:
        for stream, item in server.items():
            devices[stream.name].hear(item)
    finally:
        for intake in devices.values():
            intake.end()


def _hear_in_turn(waiting: deque[Intake]) -> None:
    """Hear one after the other until none waits; several threads share them."""
    while True:
        try:
            intake = waiting.popleft()
        except IndexError:
            return
        intake.listen()


def play(files: Sequence[tuple[FileSource, Intake]]) -> None:
    """Play all from now on, each into its intake, until the last has ended or is closed.

    What is due first is heard first. Raises SourceError when a file cannot be opened any more.
    """
    began = time.monotonic()
    timed = [source.timed(began) for source, _ in files]
    due_next: list[tuple[float, int, AudioBlock | AudioFault]] = []

    def read_on(number: int) -> None:
        for due, item in timed[number]:
            heapq.heappush(due_next, (due, number, item))
            return
        files[number][1].end()

    try:
        for number in range(len(files)):
            read_on(number)
        while due_next:
            due, number, item = heapq.heappop(due_next)
            if (left := due - time.monotonic()) > 0:
                time.sleep(left)
            files[number][1].hear(item)
            read_on(number)
    finally:
        for _, intake in files:  # when one cannot be played, the others still get their finals
            if not intake.ended.is_set():
                intake.end()
