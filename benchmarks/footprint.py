"""What the daemon costs while it listens to silence: start-up, memory, processor, libraries.

python benchmarks/footprint.py [--seconds 20] [--source mic|virtual|FILE] [--model FILE] [--json]

The source is a silent file played in real time unless another is named; "virtual" is a silent
microphone of a PulseAudio server that is started for it, as in the tests. The daemon is a separate
process, started as a user starts it; its children (the microphone's) are counted with it, the
sound server is not. "pss" is its memory, with pages that several processes share divided among
them.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks import script
from edgeser.bench import process, sound
from edgeser.bench.machine import busy_with_others, cpu_times, usage
from edgeser.bench.mix import room
from edgeser.errors import UserError
from edgeser.events.schema import StatusEvent
from edgeser.events.subscribe.subscriber import Subscriber

SETTLE_S = 3.0


def main() -> None:
    parser = script.parser_of(__doc__, as_json=True)
    parser.add_argument("--seconds", type=float, default=20.0, help="how long to measure")
    parser.add_argument("--source", help="mic, virtual or a file (default: silence)")
    parser.add_argument("--model", help="name or file (default: the shipped default)")
    options = parser.parse_args()
    if not 1 <= options.seconds <= 3600:
        parser.error(f"--seconds: expected 1 to 3600, got {options.seconds:g}")
    if options.source == "virtual":
        with virtual_microphone():
            figures = measure(options.seconds, "mic", options.model)
    else:
        figures = measure(options.seconds, options.source, options.model)
    script.show(figures, as_json=options.json)


def measure(seconds: float, source: str | None, model: str | None) -> dict[str, object]:
    with tempfile.TemporaryDirectory(prefix="edgeser-bench-") as folder:
        if source is None:
            source = f"{folder}/silence.wav"
            sound.write(room(seconds + 60), Path(source))
        chosen = [] if model is None else ["--model", model]
        with process.daemon(["--source", source, *chosen]) as daemon:
            ready_s = daemon.wait_until_ready()
            time.sleep(SETTLE_S)
            before, begun, first = cpu_times(), time.monotonic(), usage(daemon.pid)
            own_first_s = own_cpu_s(daemon.pid)
            state = follow(daemon.endpoint, seconds)
            wall_s, last = time.monotonic() - begun, usage(daemon.pid)
            used_s, own_s = last.cpu_s - first.cpu_s, own_cpu_s(daemon.pid) - own_first_s
            return {
                "state": state,
                "ready after exec": f"{ready_s:.2f} s",
                "of one core": f"{100 * used_s / wall_s:.2f} %",
                "  of it the capture process": f"{100 * (used_s - own_s) / wall_s:.2f} %",
                "resident": f"{last.resident_mb:.1f} MB",
                "pss": f"{pss_mb(daemon.pid):.1f} MB",
                "processes": last.processes,
                "threads": last.threads,
                "PyTorch loaded": "torch" in Path(f"/proc/{daemon.pid}/maps").read_text(),
                "measured for": f"{wall_s:.0f} s",
                "machine": busy_with_others(before, cpu_times(), used_s) or "quiet",
            }


@contextmanager
def virtual_microphone() -> Iterator[None]:
    """A microphone that this process's children find. Raises UserError where that is impossible."""
    from tests.virtual_microphone import VirtualMicrophone, why_unavailable

    if reason := why_unavailable():
        raise UserError("--source virtual", reason)
    microphone = VirtualMicrophone()
    try:
        microphone.start()
        os.environ.update(microphone.environment)
        yield
    finally:
        microphone.stop()


def own_cpu_s(pid: int) -> float:
    """Processor time of a process without its children, seconds."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def pss_mb(pid: int) -> float:
    """Proportional set size of a process and its children, MB."""
    family = [pid]
    for task in Path(f"/proc/{pid}/task").iterdir():
        family += [int(child) for child in (task / "children").read_text().split()]
    rows = [Path(f"/proc/{p}/smaps_rollup").read_text().splitlines() for p in family]
    return sum(int(line.split()[1]) for row in rows for line in row if line[:4] == "Pss:") / 1024


def follow(endpoint: str, seconds: float) -> str:
    """Read status events for so many seconds; return the last state."""
    state = "unknown"
    end = time.monotonic() + seconds
    with Subscriber(endpoint, topics=["status."], timeout_s=5.0) as subscriber:
        while time.monotonic() < end:
            event = next(subscriber)
            if isinstance(event, StatusEvent):
                state = event.state
    return state


if __name__ == "__main__":
    script.run(main)
