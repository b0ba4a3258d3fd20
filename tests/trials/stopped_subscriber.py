"""A subscriber that is stopped for ten minutes of events, while another listens.

python tests/trials/stopped_subscriber.py [--minutes 10] [--json]

A daemon reads so many minutes of speech as fast as it can. One subscriber is a process that is
stopped (SIGSTOP) after its first event, and goes on when all is over; another listens all the
time, and it is measured how long after its sending each event reaches it. The same is measured
without the stopped one. Exit code 1 if either misses an event that the journal keeps.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

import numpy as np
import soundfile

from benchmarks import script
from edgeser import Gap, Subscriber
from edgeser.bench import SPEECH_FILE
from edgeser.events.journal.reader import JournalReader
from edgeser.events.schema import is_kept

FOLLOW = """
import sys
from edgeser import Gap, Subscriber
from edgeser.events.schema import is_kept
with Subscriber(sys.argv[1], timeout_s=30) as subscriber:
    try:
        for item in subscriber:
            if isinstance(item, Gap):
                print("gap", flush=True)
            elif is_kept(item):
                print(subscriber.payload.decode(), flush=True)
    except TimeoutError:
        pass
"""
IDLE_S = 8.0
"""The source has ended if nothing but statuses came for so long."""


def main() -> bool:
    parser = script.parser_of(__doc__, as_json=True)
    parser.add_argument("--minutes", type=float, default=10.0)
    options = parser.parse_args()
    figures: dict[str, float] = {}
    for name, stopped in (("alone", False), ("beside a stopped one", True)):
        with tempfile.TemporaryDirectory(prefix="edgeser-") as folder:
            figures |= {
                f"{name}: {k}": v for k, v in run(Path(folder), options.minutes, stopped).items()
            }
    script.show(figures, as_json=options.json)
    return not any(value for name, value in figures.items() if "missed" in name)


def run(folder: Path, minutes: float, stopped: bool) -> dict[str, float]:
    endpoint, journal, sound = f"ipc://{folder}/e.sock", folder / "journal.db", folder / "talk.wav"
    samples, rate = soundfile.read(SPEECH_FILE, dtype="int16")
    soundfile.write(sound, np.tile(samples, round(minutes * 60 * rate / len(samples))), rate)
    daemon = subprocess.Popen(
        [sys.executable, "-m", "edgeser", "run", "--fast", "--await-subscriber"]
        + ["--source", str(sound), "--bind", endpoint],
        stderr=subprocess.DEVNULL,
        env={**os.environ, "EDGESER_JOURNAL_PATH": str(journal)},
    )
    follower = None
    try:
        if stopped:
            follower = subprocess.Popen(
                [sys.executable, "-c", FOLLOW, endpoint], stdout=subprocess.PIPE, text=True
            )
            assert follower.stdout is not None
            first = follower.stdout.readline()
            follower.send_signal(signal.SIGSTOP)
        delays_ms, told, gaps = listen(endpoint)
        with JournalReader(journal) as reader:
            held = list(reader.payloads())
        figures = {
            "events": len(held),
            "delay p50, ms": round(float(np.percentile(delays_ms, 50)), 2),
            "delay p99, ms": round(float(np.percentile(delays_ms, 99)), 2),
            "delay max, ms": round(max(delays_ms), 2),
            "missed": len(held) - len(told) + gaps,
        }
        if follower is not None:
            follower.send_signal(signal.SIGCONT)
            begun = time.monotonic()
            rest = [first.strip()]
            while len(rest) < len(held) and (line := follower.stdout.readline()):
                rest.append(line.strip())
            figures["missed by the stopped one"] = sum(
                a != b.decode() for a, b in zip(rest, held, strict=True)
            )
            figures["it caught up within, s"] = round(time.monotonic() - begun, 2)
        return figures
    finally:
        for process in (daemon, follower):
            if process is not None:
                process.kill()
                process.wait()


def listen(endpoint: str) -> tuple[list[float], list[bytes], int]:
    """How late each event came, those that the journal keeps, and how many gaps there were."""
    delays_ms, told, gaps = [], [], 0
    heard_at = time.monotonic()
    with Subscriber(endpoint, timeout_s=30, since="all") as subscriber:
        for item in subscriber:
            if isinstance(item, Gap):
                gaps += 1
            elif is_kept(item):
                heard_at = time.monotonic()
                delays_ms.append((time.time() - item.time) * 1000)
                told.append(subscriber.payload)
            elif time.monotonic() > heard_at + IDLE_S:
                return delays_ms, told, gaps
    return delays_ms, told, gaps


if __name__ == "__main__":
    script.run(main)
