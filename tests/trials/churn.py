"""Subscribers that come and go, while the daemon is idle and while it is busy: does it grow?

python tests/trials/churn.py [--times 20000] [--allowed-mb 2] [--json]

Each subscriber connects, is sent a status, asks the replay endpoint a question, gets its answer,
and goes. So many come to a daemon that hears nothing, and as many to one that reads speech as fast
as it can. Resident memory is read before and after, past a warm-up of a quarter as many. Exit code
1 if it grew by more than allowed in either.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

import msgspec
import numpy as np
import soundfile
import zmq

from benchmarks import script
from edgeser.bench import SPEECH_FILE

AT_ONCE = 50
REQUEST = msgspec.json.encode({"id": 1, "prefixes": ["speech."]})


def main() -> bool:
    parser = script.parser_of(__doc__, as_json=True)
    parser.add_argument("--times", type=int, default=20_000)
    parser.add_argument("--allowed-mb", type=float, default=2.0)
    options = parser.parse_args()
    figures: dict[str, float] = {}
    with tempfile.TemporaryDirectory(prefix="edgeser-") as folder:
        samples, rate = soundfile.read(SPEECH_FILE, dtype="int16")
        sound = Path(folder) / "talk.wav"
        soundfile.write(sound, np.tile(samples, 400), rate)
        for state, source in (("idle", ["-"]), ("busy", [str(sound), "--fast"])):
            endpoint = f"ipc://{folder}/{state}.sock"
            with subprocess.Popen(
                [sys.executable, "-m", "edgeser", "run", "--bind", endpoint, "--source", *source],
                stdin=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env={**os.environ, "EDGESER_JOURNAL_PATH": f"{folder}/{state}.db"},
            ) as daemon:
                try:
                    come_and_go(endpoint, max(AT_ONCE, options.times // 4))
                    before = resident_mb(daemon.pid)
                    come_and_go(endpoint, options.times)
                    time.sleep(3)
                    after = resident_mb(daemon.pid)
                finally:
                    daemon.kill()
            figures |= {
                f"{state}: subscribers": options.times,
                f"{state}: resident before, MB": round(before, 2),
                f"{state}: resident after, MB": round(after, 2),
                f"{state}: growth, MB": round(after - before, 2),
            }
    script.show(figures, as_json=options.json)
    return all(figures[f"{state}: growth, MB"] <= options.allowed_mb for state in ("idle", "busy"))


def come_and_go(endpoint: str, times: int) -> None:
    context = zmq.Context()
    context.max_sockets = 4 * AT_ONCE
    for begun in range(0, times, AT_ONCE):
        sockets = [subscriber(context, endpoint) for _ in range(min(AT_ONCE, times - begun))]
        for events, questions in sockets:
            if not (events.poll(60_000) and questions.poll(60_000)):
                sys.exit("churn: the daemon does not answer; run it by hand")
        for events, questions in sockets:
            events.close(linger=0)
            questions.close(linger=0)
    context.term()


def subscriber(
    context: zmq.Context[zmq.Socket[bytes]], endpoint: str
) -> tuple[zmq.Socket[bytes], zmq.Socket[bytes]]:
    events, questions = context.socket(zmq.SUB), context.socket(zmq.DEALER)
    events.subscribe(b"status.")
    events.connect(endpoint)
    questions.connect(endpoint + ".replay")
    questions.send(REQUEST)
    return events, questions


def resident_mb(pid: int) -> float:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    raise ProcessLookupError(pid)


if __name__ == "__main__":
    script.run(main)
