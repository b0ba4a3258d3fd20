"""Does a bridge change the daemon's latency? python benchmarks/bridge_latency.py [--bridge nats]

The daemon hears the bundled speech in real time, in turns without and with ``edgeser bridge mqtt``
and a mosquitto, or ``edgeser bridge nats`` and a nats-server, running beside it; the figures are
``latency_ms.total`` of its events. Turns come in pairs, one without and one with, in random order,
so that other load on the machine affects both alike; the ratio of the medians of a pair is given
with its spread over the pairs.
"""

from __future__ import annotations

import os
import random
import statistics
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks import script
from edgeser import Subscriber
from edgeser.bench import SPEECH_FILE
from edgeser.errors import UserError
from edgeser.events.schema import EmotionEvent, StatusEvent
from tests.bridges.mosquitto import Mosquitto
from tests.bridges.nats_server import NatsServer


def main() -> None:
    parser = script.parser_of(__doc__)
    parser.add_argument("--turns", type=script.count, default=4, help="pairs of turns")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--bridge", choices=("mqtt", "nats"), default="mqtt")
    options = parser.parse_args()
    turns: int = options.turns
    rng = random.Random(options.seed)
    taken: dict[bool, list[float]] = {False: [], True: []}
    ratios = []
    for _ in range(turns):
        pair = {}
        for bridged in rng.sample((False, True), 2):
            pair[bridged] = latencies(options.bridge if bridged else None)
            taken[bridged] += pair[bridged]
        ratios.append(statistics.median(pair[True]) / statistics.median(pair[False]))
    print(f"{'ms':<16} {'events':>6} {'median':>8} {'p90':>8} {'max':>8}")
    for bridged, values in taken.items():
        p90 = statistics.quantiles(values, n=10)[-1]
        name = "with a bridge" if bridged else "without"
        middle = statistics.median(values)
        print(f"{name:<16} {len(values):>6} {middle:>8.2f} {p90:>8.2f} {max(values):>8.2f}")
    low, high = min(ratios), max(ratios)
    middle = statistics.median(ratios)
    print(f"with : without, of medians: {middle:.2f} ({low:.2f} to {high:.2f}, {turns} pairs)")
    load, _, _ = os.getloadavg()
    print(f"load of the machine at the end: {load:.1f} on {os.cpu_count()} cores")


def latencies(kind: str | None) -> list[float]:
    """Latency of each emotion event while the sound is played once, ms; ``kind``: of bridge.

    Raises UserError if the daemon fails.
    """
    program = [sys.executable, "-m", "edgeser"]
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="edgeser-")))
        endpoint = f"ipc://{folder}/events.sock"
        if kind is not None:
            bridge = subprocess.Popen(
                [
                    *(*program, "bridge", kind, server(kind, folder, stack), "--connect", endpoint),
                    *("--cursor", str(folder / "cursor"), "--since", "all"),
                ],
                stderr=subprocess.DEVNULL,
            )
            stack.callback(bridge.wait)
            stack.callback(bridge.kill)
        command = [*program, "run", "--source", str(SPEECH_FILE), "--once", "--bind", endpoint]
        daemon = subprocess.Popen([*command, "--await-subscriber"], stderr=subprocess.DEVNULL)
        stack.callback(daemon.kill)
        found = []
        with Subscriber(endpoint, timeout_s=1.0) as events:
            while True:
                try:
                    event = next(events)
                except TimeoutError:
                    if daemon.poll() is not None:
                        raise UserError(f"the daemon ended with {daemon.returncode}") from None
                    continue
                if isinstance(event, EmotionEvent):
                    found.append(event.latency_ms.total)
                elif isinstance(event, StatusEvent) and event.state == "stopping":
                    return found


def server(kind: str, folder: Path, stack: ExitStack) -> str:
    """The address of a broker or server, started here, that takes events."""
    if kind == "mqtt":
        broker = Mosquitto(folder / "mosquitto")
        broker.start()
        stack.callback(broker.kill)
        return broker.address
    nats = NatsServer(folder / "nats")
    nats.start()
    stack.callback(nats.kill)
    command = [sys.executable, "-m", "edgeser", "lake", "fill", nats.url, "--once"]
    subprocess.run([*command, "-o", str(folder / "lake")], check=True, capture_output=True)
    return nats.url


if __name__ == "__main__":
    script.run(main)
