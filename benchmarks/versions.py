"""What versions cost beside each other: daemons of several checkouts, at the same time on one core.

python benchmarks/versions.py CHECKOUT CHECKOUT... [--streams 60] [--seconds 14] [--rounds 3]

Each daemon hears --streams streams of uninterrupted speech, as in ``edgeser bench throughput``,
with windows of 3 s every second, or with --streams 0 one of silence. Other load on the machine
affects all alike: read the ratios, which repeat to a few hundredths; milliseconds may vary by a
third.
"""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks import script
from edgeser.bench import SPEECH_FILE, process, sound, throughput
from edgeser.bench.mix import room
from edgeser.errors import UserError
from edgeser.pcm import Samples

SEGMENT_S = 7
SETTLE_S = 1.5
SETTINGS = "[speech]\nhop_seconds = 1.0\nwindow_seconds = 3.0\n"


def main() -> None:
    parser = script.parser_of(__doc__)
    parser.add_argument("checkouts", nargs="+", type=Path, help="folders that hold edge/edgeser")
    parser.add_argument("--streams", type=int, default=60, help="of each daemon; 0: silence")
    parser.add_argument("--seconds", type=float, default=14.0, help="how long to measure")
    parser.add_argument("--rounds", type=script.count, default=3, help="how often")
    options = parser.parse_args()
    for checkout in options.checkouts:
        if not (checkout / "edge/edgeser").is_dir():
            raise UserError(f"{checkout}: no edge/edgeser in it", "name a checkout of edgeser")
    spoken = sound.without_pauses(sound.samples_of(SPEECH_FILE), SPEECH_FILE)
    rounds: list[list[list[float]]] = []
    for number in range(options.rounds):
        rounds.append(measure(options.checkouts, spoken, options.streams, options.seconds, number))
    print(f"{'ms of a core each second':<40} total   ratio  (of each round)  busiest threads")
    for place, checkout in enumerate(options.checkouts):
        found = [of_round[place] for of_round in rounds]
        ratios = [sum(a) / sum(b[0]) for a, b in zip(found, rounds, strict=True)]
        threads = [statistics.median(times) for times in zip(*(t[:3] for t in found), strict=True)]
        print(
            f"{str(checkout)[-40:]:<40} {statistics.median(map(sum, found)):5.2f}  "
            f"{statistics.median(ratios):6.3f}  ({', '.join(f'{r:.3f}' for r in ratios)})  "
            + ", ".join(f"{ms:.2f}" for ms in threads)
        )


def measure(
    checkouts: list[Path], spoken: Samples, streams: int, seconds: float, number: int
) -> list[list[float]]:
    """Milliseconds of each thread of each daemon, the busiest first, per second of a stream."""
    spread_s = SEGMENT_S if streams else 0
    order = list(enumerate(checkouts))
    if number % 2:
        order.reverse()
    with tempfile.TemporaryDirectory(prefix="edgeser-bench-") as folder, ExitStack() as stack:
        if streams:
            length_s = seconds + 4 * SETTLE_S + len(checkouts)
            sources = throughput.sources_of(Path(folder), spoken, streams, spread_s, length_s)
        else:
            sources = silence(Path(folder) / "silence.wav", seconds + 60)
        core = stack.enter_context(throughput.one_core())
        daemons: dict[int, process.DaemonProcess] = {}
        for place, checkout in order:
            os.environ["PYTHONPATH"] = str(checkout.resolve() / "edge")
            daemons[place] = stack.enter_context(process.daemon([], settings=SETTINGS + sources))
        for daemon in daemons.values():
            daemon.wait_until_ready()
            for task in Path(f"/proc/{daemon.pid}/task").iterdir():
                os.sched_setaffinity(int(task.name), {core})
        time.sleep(spread_s + SETTLE_S)
        before = {place: times(daemon.pid) for place, daemon in daemons.items()}
        begun = time.monotonic()
        time.sleep(seconds)
        after = {place: times(daemon.pid) for place, daemon in daemons.items()}
        stream_s = (time.monotonic() - begun) * max(1, streams)
    found = []
    for place in range(len(checkouts)):
        spent = [ms - before[place].get(task, 0.0) for task, ms in after[place].items()]
        found.append(sorted((ms / stream_s for ms in spent), reverse=True))
    return found


def silence(file: Path, seconds: float) -> str:
    """Write the sound of a quiet room; return settings that play it."""
    sound.write(room(seconds), file)
    return f'[[source]]\nsource = "{file}"\nstream = "room"\n'


def times(pid: int) -> dict[str, float]:
    """Processor time of each thread of a process until now, milliseconds."""
    found = {}
    for task in Path(f"/proc/{pid}/task").iterdir():
        found[task.name] = int((task / "schedstat").read_text().split()[0]) / 1e6
    return found


if __name__ == "__main__":
    script.run(main)
