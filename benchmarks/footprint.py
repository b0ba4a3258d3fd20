"""What the daemon costs while it listens to silence: start-up, memory, processor, libraries.

python benchmarks/footprint.py [--seconds 20] [--source mic] [--json]

The source is a silent file played in real time unless another is named. The daemon is a process
of its own, started as a user starts it; its children (the microphone's) are counted with it.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import soundfile

from edgeser import Subscriber
from edgeser.events.schema import StatusEvent

TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
SETTLE_S = 3.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=20.0, help="how long to measure")
    parser.add_argument("--source", help="mic or a file (default: silence)")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    if options.seconds < 1:
        parser.error(f"--seconds: expected at least 1, got {options.seconds:g}")
    figures = measure(options.seconds, options.source)
    if options.json:
        print(json.dumps(figures))
        return
    for name, value in figures.items():
        print(f"{name:<28} {value}")


def measure(seconds: float, source: str | None) -> dict[str, object]:
    with tempfile.TemporaryDirectory(prefix="edgeser-") as folder:
        silence = Path(folder) / "silence.flac"
        rng = np.random.default_rng(0)
        samples = np.round(rng.standard_normal(int((seconds + 30) * 16_000)) * 3).astype(np.int16)
        soundfile.write(silence, samples, 16_000)
        endpoint = f"ipc://{folder}/events.sock"
        begun = time.monotonic()
        daemon = subprocess.Popen(
            [sys.executable, "-m", "edgeser", "run", "--bind", endpoint]
            + ["--source", source or str(silence)],
            stderr=subprocess.PIPE,
            text=True,
        )
        try:
            assert daemon.stderr is not None
            ready_s = None
            for line in daemon.stderr:
                if "ready:" in line:
                    ready_s = time.monotonic() - begun
                    break
            if ready_s is None:
                sys.exit("footprint: the daemon ended before it was ready; run it by hand")
            time.sleep(SETTLE_S)
            cpu_s, clock = cpu_seconds(daemon.pid), time.monotonic()
            state = listen(endpoint, seconds)
            cpu_s, clock = cpu_seconds(daemon.pid) - cpu_s, time.monotonic() - clock
            family = processes(daemon.pid)
            return {
                "state": state,
                "ready after exec, s": round(ready_s, 2),
                "of one core, %": round(100 * cpu_s / clock, 2),
                "resident, MB": round(sum(map(resident_mb, family)), 1),
                "processes": len(family),
                "threads": sum(len(os.listdir(f"/proc/{pid}/task")) for pid in family),
                "torch loaded": any("torch" in maps(pid) for pid in family),
                "load average": round(os.getloadavg()[0], 2),
                "measured for, s": round(clock, 1),
            }
        finally:
            daemon.terminate()
            daemon.wait()


def listen(endpoint: str, seconds: float) -> str:
    """Follow the status events for so long; the last state."""
    state = "unknown"
    end = time.monotonic() + seconds
    with Subscriber(endpoint, topics=["status."], timeout_s=2.0) as subscriber:
        while time.monotonic() < end:
            event = next(subscriber)
            if isinstance(event, StatusEvent):
                state = event.state
    return state


def processes(pid: int) -> list[int]:
    """The process and all below it."""
    family = [pid]
    for task in os.listdir(f"/proc/{pid}/task"):
        children = Path(f"/proc/{pid}/task/{task}/children").read_text().split()
        for child in children:
            family += processes(int(child))
    return family


def cpu_seconds(pid: int) -> float:
    total = 0
    for process in processes(pid):
        fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
        total += int(fields[11]) + int(fields[12])
    return total / TICKS_PER_SECOND


def resident_mb(pid: int) -> float:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    return 0.0


def maps(pid: int) -> str:
    return Path(f"/proc/{pid}/maps").read_text()


if __name__ == "__main__":
    main()
