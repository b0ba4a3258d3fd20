"""Many network microphones on one daemon: how late its events are, and what it costs.

Each device sends in real time, in pieces of 20 ms over a connection of its own: some the bundled
speech, each from a different position, the others the noise of a quiet room. The figures: the
latency of every event as the daemon reports it, the daemon's processor time and memory, and the
sound that it reports as lost.
"""

from __future__ import annotations

import socket
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks import script
from edgeser import EmotionEvent, StatusEvent, Subscriber
from edgeser.bench import SPEECH_FILE
from edgeser.bench.figures import Distribution
from edgeser.bench.machine import usage
from edgeser.bench.mix import room
from edgeser.bench.process import daemon
from edgeser.bench.sound import samples_of
from edgeser.errors import UserError
from edgeser.pcm import SAMPLE_RATE

PIECE = 320


def main() -> None:
    parser = script.parser_of(__doc__)
    parser.add_argument("--devices", type=script.count, default=100)
    parser.add_argument("--talking", type=script.count, default=10, help="devices that send speech")
    parser.add_argument("--seconds", type=float, default=60)
    options = parser.parse_args()
    devices: int = options.devices
    if options.talking > devices:
        raise UserError(f"--talking {options.talking}: there are {devices} devices")
    with tempfile.TemporaryDirectory(prefix="edgeser-") as folder:
        tokens = [f"token-{number:010d}" for number in range(devices)]
        settings, port = written(Path(folder), tokens)
        with daemon(["--settings", str(settings)]) as process:
            stop = threading.Event()
            arguments = (port, tokens, options.talking, stop)
            sender = threading.Thread(target=send, args=arguments, daemon=True)
            with Subscriber(process.endpoint, timeout_s=0.1) as events:
                sender.start()
                process.wait_until_ready()
                heard(events, 5)  # all have connected, and every segment has begun
                before, began = usage(process.pid), time.monotonic()
                emotions, statuses = heard(events, options.seconds)
                after, took_s = usage(process.pid), time.monotonic() - began
            stop.set()
            sender.join()
    if not emotions:
        raise UserError(f"no event came within {options.seconds:g} s", "give more --seconds")
    total = Distribution([event.latency_ms.total for event in emotions])
    finals = sum(event.kind == "final" for event in emotions)
    last = {status.stream: status.counters for status in statuses}
    print(f"{devices} devices, {options.talking} of them talk, {took_s:.0f} s")
    print(f"{len(emotions)} events, {finals} finals")
    shown = ", ".join(
        f"{name} {total.percentile(name):.1f}" for name in ("p50", "p95", "p99", "max")
    )
    print(f"latency_ms.total: {shown}")
    print(f"processor: {100 * (after.cpu_s - before.cpu_s) / took_s:.0f} % of a core")
    print(f"memory: {after.resident_mb:.0f} MB")
    print(f"sound lost: {sum(c.lost_samples for c in last.values()) / SAMPLE_RATE:.2f} s")
    print(f"partials given up: {sum(c.dropped_windows for c in last.values())}")


def written(folder: Path, tokens: Sequence[str]) -> tuple[Path, int]:
    """Write settings; return their file and the port that they name."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port: int = free.getsockname()[1]
    file = folder / "tokens"
    file.touch(0o600)
    file.write_text("".join(f"{token[-4:]} {token}\n" for token in tokens))
    settings = folder / "edgeser.toml"
    settings.write_text(
        f'[audio]\nsource = "tcp://127.0.0.1:{port}"\ntokens = "{file}"\nstall_seconds = 30\n'
    )
    return settings, port


def send(port: int, tokens: Sequence[str], talking: int, stop: threading.Event) -> None:
    """Send for all devices from one thread, which takes little processor time from the daemon."""
    sound = samples_of(SPEECH_FILE)
    noise = room(PIECE / SAMPLE_RATE, rms=10).tobytes()
    pieces = [sound[at : at + PIECE].tobytes() for at in range(0, len(sound) - PIECE, PIECE)]
    devices: list[socket.socket] = []
    for token in tokens:
        for _ in range(100):
            try:
                devices.append(socket.create_connection(("127.0.0.1", port), 30))
                break
            except ConnectionRefusedError:
                time.sleep(0.1)
        devices[-1].sendall(f"{token}\n".encode())
    began, number = time.monotonic(), 0
    while not stop.is_set():
        for device in devices[talking:]:
            device.sendall(noise)
        for place, device in enumerate(devices[:talking]):
            device.sendall(pieces[(number + place * len(pieces) // talking) % len(pieces)])
        number += 1
        time.sleep(max(0.0, began + number * PIECE / SAMPLE_RATE - time.monotonic()))
    for device in devices:
        device.close()


def heard(events: Subscriber, seconds: float) -> tuple[list[EmotionEvent], list[StatusEvent]]:
    """The emotion and status events that come within so long."""
    emotions: list[EmotionEvent] = []
    statuses: list[StatusEvent] = []
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        try:
            event = next(events)
        except TimeoutError:
            continue
        if isinstance(event, EmotionEvent):
            emotions.append(event)
        elif isinstance(event, StatusEvent):
            statuses.append(event)
    return emotions, statuses


if __name__ == "__main__":
    script.run(main)
