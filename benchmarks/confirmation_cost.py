"""What confirmation costs the daemon: python benchmarks/confirmation_cost.py [--turns N]

A daemon hears uninterrupted speech in real time, and one hears a silent room, in turns without
``speech.confirm`` and with it, so that other load on the machine affects both. "overhead" is the
time from an event's last sample to its publication, without inference. Every figure is the median
over the turns; "overhead, p99" is the median of the turns' 99th percentiles.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import numpy as np

from benchmarks import script
from benchmarks.footprint import pss_mb
from edgeser.bench import SPEECH_FILE, process, sound
from edgeser.bench.machine import busy_with_others, cpu_times, usage
from edgeser.bench.mix import room
from edgeser.events.schema import EmotionEvent
from edgeser.events.subscribe.subscriber import Subscriber

SETTLE_S = 3.0


@dataclass(frozen=True)
class Turn:
    """``core_percent``: of one core. ``overhead_ms``: of each emotion."""

    core_percent: float
    memory_mb: float
    overhead_ms: list[float]


def main() -> None:
    parser = script.parser_of(__doc__, as_json=True)
    parser.add_argument("--turns", type=script.count, default=3)
    parser.add_argument("--seconds", type=float, default=20.0, help="how long each turn measures")
    options = parser.parse_args()
    if options.turns < 1 or not 5 <= options.seconds <= 3600:
        parser.error("expected --turns from 1 on, and --seconds from 5 to 3600")
    script.show(measure(options.turns, options.seconds), as_json=options.json)


def measure(turns: int, seconds: float) -> dict[str, object]:
    samples = sound.without_pauses(sound.samples_of(SPEECH_FILE), SPEECH_FILE)
    found: dict[tuple[str, bool], list[Turn]] = {}
    before, ours_s = cpu_times(), 0.0
    with tempfile.TemporaryDirectory(prefix="edgeser-bench-") as folder:
        played = {"speech": sound.repeated(samples, seconds + 60), "silence": room(seconds + 60)}
        for name, heard in played.items():
            sound.write(heard, Path(folder) / f"{name}.wav")
        for turn in range(2 * turns):
            confirm = bool(turn % 2)
            for name in played:
                taken = one(Path(folder) / f"{name}.wav", seconds, confirm=confirm)
                ours_s += taken.core_percent * seconds / 100
                found.setdefault((name, confirm), []).append(taken)
    figures: dict[str, object] = {}
    for name in played:
        off, on = found[name, False], found[name, True]
        core = both([t.core_percent for t in off], [t.core_percent for t in on], "%")
        memory = both([t.memory_mb for t in off], [t.memory_mb for t in on], "MB")
        figures |= {f"of one core, {name}": core, f"memory (pss), {name}": memory}
    overheads = [[t.overhead_ms for t in found["speech", on]] for on in (False, True)]
    late = [[p99(taken) for taken in turn] for turn in overheads]
    middle = [[statistics.median(taken) for taken in turn] for turn in overheads]
    figures |= {
        "overhead, median": both(middle[0], middle[1], "ms"),
        "overhead, p99": both(late[0], late[1], "ms"),
        "events in a turn": min(map(len, overheads[1])),
        "machine": busy_with_others(before, cpu_times(), ours_s) or "quiet",
    }
    return figures


def one(heard: Path, seconds: float, *, confirm: bool) -> Turn:
    settings = f"[speech]\nconfirm = {str(confirm).lower()}\n"
    with process.daemon(["--source", str(heard)], settings=settings) as daemon:
        daemon.wait_until_ready()
        time.sleep(SETTLE_S)
        begun, first = time.monotonic(), usage(daemon.pid)
        overhead_ms = []
        with Subscriber(daemon.endpoint, timeout_s=30.0) as events:
            for event in events:
                if isinstance(event, EmotionEvent):
                    overhead_ms.append(event.latency_ms.total - event.latency_ms.inference)
                if time.monotonic() - begun > seconds:
                    break
        wall_s, last = time.monotonic() - begun, usage(daemon.pid)
        return Turn(100 * (last.cpu_s - first.cpu_s) / wall_s, pss_mb(daemon.pid), overhead_ms)


def p99(values: list[float]) -> float:
    return float(np.quantile(values, 0.99))


def both(off: list[float], on: list[float], unit: str) -> str:
    """The medians without and with confirmation, their difference and ratio."""
    without, confirmed = statistics.median(off), statistics.median(on)
    return (
        f"{without:.2f} -> {confirmed:.2f} {unit} "
        f"({confirmed - without:+.2f}, {confirmed / without:.2f} times)"
    )


if __name__ == "__main__":
    script.run(main)
