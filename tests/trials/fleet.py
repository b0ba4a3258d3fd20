"""A fleet on a real nats-server, and a lake: server and lake are killed, the network is cut.

python tests/trials/fleet.py [--devices 200] [--events 5000] [--kills 10]

Each simulated device has its events in a list instead of a journal, and a cursor that moves when
JetStream has stored them; it publishes under the bridge's subjects and message ids. One of them is
away until all others are done, and then tells everything twice, the second time from the beginning
and after the server has forgotten its message ids. Server and lake are killed with SIGKILL, and
frozen for a while. In the end the lake must hold each event once.
"""

from __future__ import annotations

import asyncio
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import msgspec

sys.path.insert(0, str(Path(__file__).parents[2]))

from benchmarks import script
from edgeser.bridges.nats.client import NatsError, connect, explained
from edgeser.bridges.nats.server import Server, server_of
from edgeser.bridges.nats.subjects import Device
from edgeser.lake.queries import Lake
from tests.bridges.nats_server import NatsServer
from tests.events.helpers import emotion

IN_FLIGHT = 50
FROZEN_S = 5.0


class Simulated:
    """A device with events to tell, and how far it has been acknowledged."""

    def __init__(self, number: int, events: int) -> None:
        self.device = Device("trial", f"device-{number:03d}")
        self.epoch, self.events = f"{number:016x}", events
        self.told = 0
        self.sent = 0

    async def tell(self, server: Server) -> None:
        """All from the cursor on; a connection that fails is made anew."""
        while self.told < self.events:
            try:
                await self._connection(server)
            except NatsError:
                await asyncio.sleep(random.uniform(0.5, 2.0))

    async def _connection(self, server: Server) -> None:
        troubles: list[str] = []
        client = await connect(server, troubles)
        try:
            with explained(server, troubles):
                jetstream = client.jetstream(timeout=10)
                while self.told < self.events:
                    some = range(self.told + 1, min(self.told + IN_FLIGHT, self.events) + 1)
                    stored = await asyncio.gather(
                        *(self._publish(jetstream, seq) for seq in some), return_exceptions=True
                    )
                    for result in stored:
                        if isinstance(result, BaseException):
                            raise result
                        self.told += 1
        finally:
            await asyncio.wait([asyncio.ensure_future(client.close())], timeout=1)

    async def _publish(self, jetstream: object, seq: int) -> None:
        event = msgspec.structs.replace(
            emotion(seq, label=("happy", "angry", "sad")[seq % 3]),
            epoch=self.epoch,
            seq=seq,
            time=1_700_000_000.0 + 60 * seq,
        )
        self.sent += 1
        await jetstream.publish(  # type: ignore[attr-defined]
            self.device.subject(event),
            msgspec.json.encode(event),
            headers={"Nats-Msg-Id": self.device.message_id(event)},
        )


class LakeProcess:
    """``edgeser lake fill``, which may be killed."""

    def __init__(self, url: str, folder: Path) -> None:
        self.command = [sys.executable, "-m", "edgeser", "lake", "fill", url, "-o", str(folder)]
        self.log = folder.with_suffix(".log")

    def start(self, *options: str) -> None:
        with self.log.open("ab") as errors:
            self.process = subprocess.Popen(
                [*self.command, "--every", "2", *options], stderr=errors
            )

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


async def harm(nats: NatsServer, lake: LakeProcess, kills: int, pause_s: float) -> None:
    """Kill and freeze, in turns, each after a while."""
    for number in range(kills):
        await asyncio.sleep(random.uniform(0.5, 1.5) * pause_s)
        nats.kill()
        await asyncio.sleep(random.uniform(0.1, 1.0))
        await asyncio.to_thread(nats.start)
        await asyncio.sleep(random.uniform(0.0, 0.5) * pause_s)
        lake.kill()
        lake.start()
        if number % 3 == 0:
            nats.freeze()
            await asyncio.sleep(FROZEN_S)
            nats.thaw()


async def trial(folder: Path, devices: int, events: int, kills: int, pause_s: float) -> bool:
    nats = NatsServer(folder / "nats")
    nats.start()
    lake = LakeProcess(nats.url, folder / "lake")
    lake.start()
    began = time.monotonic()
    fleet = [Simulated(number, events) for number in range(devices)]
    server = server_of(nats.url)
    try:
        harmed = asyncio.create_task(harm(nats, lake, kills, pause_s))
        await asyncio.gather(*(device.tell(server) for device in fleet[1:]), harmed)
        late = fleet[0]
        await late.tell(server)
        nats.kill()  # a server forgets message ids of a stream that it has read anew and emptied
        nats.start()
        late.epoch, late.told = late.epoch, 0
        await late.tell(server)
        lake.process.terminate()
        lake.process.wait()
        lake.start("--once")
        lake.process.wait()
    finally:
        nats.kill()
        lake.kill()
    question = "SELECT count(*), count(DISTINCT (device, epoch, stream, seq)) FROM finals"
    _, [(rows, distinct)] = Lake(folder / "lake").ask(question)
    sent = sum(device.sent for device in fleet)
    expected = devices * events
    print(f"{devices} devices x {events} events, {kills} kills each of server and lake")
    print(f"sent {sent}, in the lake {rows}, lost {expected - distinct}, twice {rows - distinct}")
    print(f"{time.monotonic() - began:.0f} s")
    return bool(rows == distinct == expected)


def main() -> bool:
    parser = script.parser_of(__doc__)
    parser.add_argument("--devices", type=int, default=200)
    parser.add_argument("--events", type=int, default=5000)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--pause", type=float, default=10.0, help="seconds between kills, about")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--folder", type=Path, help="keep what is made here")
    options = parser.parse_args()
    random.seed(options.seed)
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    with tempfile.TemporaryDirectory(prefix="edgeser-fleet-") as temporary:
        folder = options.folder or Path(temporary)
        return asyncio.run(
            trial(folder, options.devices, options.events, options.kills, options.pause)
        )


if __name__ == "__main__":
    script.run(main)
