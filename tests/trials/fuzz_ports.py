"""Random and mutated messages at the replay port and at the encrypted ports of a real daemon.

python tests/trials/fuzz_ports.py [--times 100000] [--seed 1] [--json]

Nine of ten go to the replay port, as ZeroMQ messages: garbage, near-requests, many parts, too
long. One of ten is a TCP connection to an encrypted port that says something close to a greeting
and a handshake of CURVE. Meanwhile subscribers must get every status, and replay must answer.
Exit code 1 if the daemon died, a good client was not served, or memory grew by more than allowed.
"""

from __future__ import annotations

import os
import random
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

import msgspec
import zmq

from benchmarks import script
from edgeser import Subscriber
from edgeser.bench import SPEECH_FILE
from edgeser.events.schema import SpeechEvent, StatusEvent
from edgeser.events.wire.keys import KeyFolder
from tests.ports import free_port

GOOD = {"id": 1, "epoch": "", "topics": {"speech.file": 3}, "prefixes": ["emotion."], "after": 2}
GREETING = b"\xff" + bytes(8) + b"\x7f\x03\x01" + b"CURVE".ljust(20, b"\0") + bytes(32)
HELLO = b"\x04\xc8\x05HELLO\x01\x00" + bytes(192)


def main() -> bool:
    parser = script.parser_of(__doc__, as_json=True)
    parser.add_argument("--times", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--allowed-mb", type=float, default=10.0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="edgeser-") as folder:
        figures = fuzz(Path(folder), options.times, random.Random(options.seed))
    script.show(figures, as_json=options.json)
    served = figures["good clients served"] == figures["good clients"]
    return bool(figures["alive"]) and served and figures["growth, MB"] <= options.allowed_mb


def fuzz(folder: Path, times: int, rng: random.Random) -> dict[str, float]:
    keys, phone = KeyFolder(folder / "keys"), KeyFolder(folder / "phone")
    server = keys.new("server")
    keys.allow("phone", phone.new("phone"))
    ipc, port = f"ipc://{folder}/events.sock", free_port(in_a_row=2)
    tcp = f"tcp://127.0.0.1:{port}"
    with subprocess.Popen(
        [sys.executable, "-m", "edgeser", "run", "--source", str(SPEECH_FILE), "--fast"]
        + ["--bind", ipc, "--bind", tcp],
        stderr=subprocess.DEVNULL,
        env={
            **os.environ,
            "EDGESER_JOURNAL_PATH": str(folder / "journal.db"),
            "EDGESER_EVENTS_CURVE": "true",
            "EDGESER_EVENTS_KEYS": str(keys.folder),
        },
    ) as daemon:
        try:
            secret = str(phone.folder / "phone.secret")
            served = [is_served(ipc), is_served(tcp, key=secret, server_key=server)]
            context = zmq.Context()
            asker = context.socket(zmq.DEALER)
            asker.connect(ipc + ".replay")
            before = 0.0
            for n in range(times):
                if n == times // 10:
                    before = resident_mb(daemon.pid)
                if n % 10:
                    asker.send_multipart(request(rng))
                    while asker.poll(0):
                        asker.recv_multipart()
                else:
                    knock(port + rng.randrange(2), rng)
                if n % (max(1, times // 10)) == 0:
                    served += [is_served(ipc), is_served(tcp, key=secret, server_key=server)]
            context.destroy(linger=0)
            time.sleep(2)
            served += [is_served(ipc), is_served(tcp, key=secret, server_key=server)]
            after = resident_mb(daemon.pid)
            alive = daemon.poll() is None
        finally:
            daemon.kill()
    return {
        "messages": times,
        "alive": alive,
        "good clients": len(served),
        "good clients served": sum(served),
        "growth, MB": round(after - before, 2),
    }


def request(rng: random.Random) -> list[bytes]:
    """Garbage, or something that almost is a request; of one or several parts."""
    kind = rng.randrange(12)
    good = msgspec.json.encode(GOOD)
    if kind == 0:
        return [rng.randbytes(rng.randrange(500))]
    if kind == 1:
        return [rng.choice((b"[", b'{"id":', b'"', b"-", b"9")) * rng.randrange(1, 3000)]
    if kind == 2:
        return [good] * rng.randrange(2, 40)
    if kind == 3 and rng.randrange(50) == 0:
        return [b"x" * 20_000]
    data = bytearray(good)
    for _ in range(rng.randrange(6)):
        at = rng.randrange(len(data))
        data[at : at + rng.randrange(4)] = rng.randbytes(rng.randrange(4))
    return [bytes(data)]


def knock(port: int, rng: random.Random) -> None:
    message = bytearray(GREETING + HELLO + rng.randbytes(rng.randrange(300)))
    for _ in range(rng.randrange(5)):
        message[rng.randrange(len(message))] = rng.randrange(256)
    with socket.create_connection(("127.0.0.1", port), timeout=10) as raw:
        raw.sendall(message[: rng.randrange(1, len(message))])


def is_served(endpoint: str, **keys: str) -> bool:
    """Whether a good client gets the past, and what comes now."""
    topics = ["speech.", "status."]
    with Subscriber(endpoint, topics, 20, since="all", **keys) as good:  # type: ignore[arg-type]
        try:
            while not isinstance(next(good), SpeechEvent):
                pass
            while not isinstance(next(good), StatusEvent):
                pass
        except TimeoutError:
            return False
        return True


def resident_mb(pid: int) -> float:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    raise ProcessLookupError(pid)


if __name__ == "__main__":
    script.run(main)
