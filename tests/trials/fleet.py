"""A fleet on a real nats-server, and a lake: server and lake are killed, the network is cut.

python tests/trials/fleet.py [--devices 200] [--events 5000] [--kills 10]

Each simulated device has its events in a list instead of a journal, and a cursor that moves when
JetStream has stored them; it publishes under the bridge's subjects and message ids. Server and lake
are killed with SIGKILL, and the network between them and the devices is cut. One device comes when
all others are done and the stream is empty, and tells everything twice: the second time to a server
that no longer knows its message ids. In the end the lake must hold each event once.
"""

from __future__ import annotations

import asyncio
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec

sys.path.insert(0, str(Path(__file__).parents[2]))

from nats.js import JetStreamContext

from benchmarks import script
from edgeser.bridges.nats.client import NatsError, connect, explained
from edgeser.bridges.nats.server import Server, server_of
from edgeser.bridges.nats.subjects import LAKE_INBOX, Device
from edgeser.lake.fill import STREAM
from edgeser.lake.queries import Lake
from tests.bridges.nats_server import NatsServer, durability, version
from tests.bridges.network import Network
from tests.events.helpers import emotion

IN_FLIGHT = 10
EVERY_S = 5.0
CUT_S = (2.0, 15.0)
"""How long the network is cut: both shorter and longer than a device waits for an answer."""


class Simulated:
    """A device with events to send, and how many of them were acknowledged."""

    def __init__(self, number: int, events: int) -> None:
        self.device = Device("trial", f"device-{number:03d}")
        self.epoch, self.events = f"{number:016x}", events
        self.told = 0
        self.sent = self.stored = 0
        """Messages sent, and of these, messages that the server did not know yet."""

    @property
    def is_telling(self) -> bool:
        """Not all is acknowledged yet."""
        return self.told < self.events

    async def tell(self, server: Server) -> None:
        """Send all events from the cursor on; reconnect when a connection fails."""
        while self.is_telling:
            try:
                await self._connection(server)
            except NatsError:
                await asyncio.sleep(random.uniform(0.5, 2.0))

    async def _connection(self, server: Server) -> None:
        async with connected(server, self.device.inbox) as jetstream:
            while self.is_telling:
                some = range(self.told + 1, min(self.told + IN_FLIGHT, self.events) + 1)
                answers = await asyncio.gather(
                    *(self._publish(jetstream, seq) for seq in some), return_exceptions=True
                )
                for answer in answers:
                    if isinstance(answer, BaseException):
                        raise answer
                    self.told += 1

    async def _publish(self, jetstream: JetStreamContext, seq: int) -> None:
        event = msgspec.structs.replace(
            emotion(seq, label=("happy", "angry", "sad")[seq % 3]),
            epoch=self.epoch,
            seq=seq,
            time=1_700_000_000.0 + 60 * seq,
        )
        self.sent += 1
        answer = await jetstream.publish(
            self.device.subject(event),
            msgspec.json.encode(event),
            headers={"Nats-Msg-Id": self.device.message_id(event)},
        )
        self.stored += not answer.duplicate


@asynccontextmanager
async def connected(server: Server, inbox: str) -> AsyncIterator[JetStreamContext]:
    """A connection as a bridge has it. Raises NatsError."""
    troubles: list[str] = []
    client = await connect(server, inbox, troubles)
    try:
        with explained(server, troubles):
            yield client.jetstream(timeout=10)
    finally:
        await asyncio.wait([asyncio.ensure_future(client.close())], timeout=1)


class LakeProcess:
    """``edgeser lake fill``, which may be killed."""

    def __init__(self, url: str, folder: Path) -> None:
        self.command = [sys.executable, "-m", "edgeser", "lake", "fill", url, "-o", str(folder)]
        self.folder = folder
        self.log = folder.with_suffix(".log")

    def start(self) -> None:
        with self.log.open("ab") as errors:
            self.process = subprocess.Popen([*self.command, "--every", str(EVERY_S)], stderr=errors)

    def parts(self) -> int:
        """How many it has written so far."""
        return sum(1 for _ in self.folder.rglob("part-*.parquet"))

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


async def harm(
    fleet: list[Simulated], nats: NatsServer, network: Network, lake: LakeProcess, kills: int
) -> None:
    """Kill server and lake and cut the network ``kills`` times, evenly spread over the events."""
    events = sum(device.events for device in fleet)
    for number in range(1, kills + 1):
        while sum(device.told for device in fleet) < events * number / (kills + 1):
            await asyncio.sleep(0.2)
        nats.kill()
        await asyncio.sleep(random.uniform(0.1, 1.0))
        await asyncio.to_thread(nats.start)
        written = lake.parts()
        while lake.parts() == written and any(device.is_telling for device in fleet):
            await asyncio.sleep(0.2)  # until it is at work, and has taken more than it wrote
        await asyncio.sleep(random.uniform(0.0, EVERY_S))
        lake.kill()
        lake.start()
        await asyncio.sleep(random.uniform(0.0, EVERY_S))
        network.cut()
        await asyncio.sleep(random.uniform(*CUT_S))
        network.mend()


async def watch(fleet: list[Simulated]) -> None:
    """Print the progress once a minute."""
    while True:
        await asyncio.sleep(60)
        told = sum(device.told for device in fleet)
        print(f"{told} of {sum(device.events for device in fleet)}", file=sys.stderr, flush=True)


async def emptied(server: Server) -> None:
    """Wait until the lake has acknowledged all that the stream held."""
    while True:
        try:
            async with connected(server, LAKE_INBOX) as jetstream:
                while (await jetstream.stream_info(STREAM)).state.messages:
                    await asyncio.sleep(0.5)
                return
        except NatsError:
            await asyncio.sleep(1)


async def trial(folder: Path, devices: int, events: int, kills: int) -> bool:
    nats = NatsServer(folder / "nats")
    nats.start()
    network = Network(nats.port)
    url = f"nats://127.0.0.1:{network.port}"
    lake = LakeProcess(url, folder / "lake")
    lake.start()
    began = time.monotonic()
    late, *fleet = [Simulated(number, events) for number in range(devices)]
    server = server_of(url)
    try:
        watched = asyncio.create_task(watch(fleet))
        harmed = asyncio.create_task(harm(fleet, nats, network, lake, kills))
        await asyncio.gather(*(device.tell(server) for device in fleet))
        watched.cancel()
        told_s = time.monotonic() - began
        await harmed
        await late.tell(server)
        await emptied(server)
        nats.kill()  # restarted with an empty stream, it knows no message ids
        nats.start()
        late.told, known = 0, late.stored
        await late.tell(server)
        await emptied(server)
        lake.process.terminate()
        lake.process.wait()
    finally:
        nats.kill()
        lake.kill()
        network.end()
    question = "SELECT count(*), count(DISTINCT (device, epoch, stream, seq)) FROM finals"
    _, [(rows, distinct)] = Lake(folder / "lake").ask(question)
    expected = devices * events
    parts = [part.stat().st_size for part in (folder / "lake").rglob("part-*.parquet")]
    sent = sum(device.sent for device in (late, *fleet))
    print(f"nats-server {version()}, {durability() or 'no sync_interval'}")
    print(f"{devices} devices x {events} events")
    print(f"server and lake killed and network cut {kills} times each")
    print(f"sent {sent}; told again at the end and taken as new {late.stored - known}")
    print(f"in the lake {rows}, lost {expected - distinct}, twice {rows - distinct}")
    print(f"{len(parts)} parts, {sum(parts) / 1e6:.0f} MB")
    print(f"told in {told_s:.0f} s, all over in {time.monotonic() - began:.0f} s")
    return bool(rows == distinct == expected)


def main() -> bool:
    parser = script.parser_of(__doc__)
    parser.add_argument("--devices", type=int, default=200)
    parser.add_argument("--events", type=int, default=5000)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--folder", type=Path, help="keep what is made here")
    options = parser.parse_args()
    random.seed(options.seed)
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    with tempfile.TemporaryDirectory(prefix="edgeser-fleet-") as temporary:
        folder = options.folder or Path(temporary)
        return asyncio.run(trial(folder, options.devices, options.events, options.kills))


if __name__ == "__main__":
    script.run(main)
