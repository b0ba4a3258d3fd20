"""Break the sound under a running daemon again and again, and account for every sample.

python tests/trials/break_audio.py [--times 50] [-o FILE]

In turn the sound server is frozen, killed and started anew, and its source is unloaded and loaded.
Each time the daemon must publish audio_lost and then audio_restored, hear one remark that is played
afterwards exactly once, and go on in the same process. At the end the samples that it counted and
those it called lost must make up the stream's position, and that must be the time that passed: no
sample is counted twice and none is forgotten. Needs the Debian packages of the microphone tests.
Exit code 1 when something is not as it must be.
"""

from __future__ import annotations

import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from statistics import median

sys.path.insert(0, str(Path(__file__).parents[2]))

import msgspec
import numpy as np
import soundfile

from benchmarks import script
from edgeser.errors import UserError
from edgeser.model.golden import waveform
from tests.sounds import silence
from tests.system.daemons import Daemon, running
from tests.virtual_microphone import VirtualMicrophone, why_unavailable

Action = Callable[[VirtualMicrophone], None]

BREAKS: dict[str, tuple[Action, Action]] = {
    "server frozen": (VirtualMicrophone.freeze, VirtualMicrophone.thaw),
    "server killed": (VirtualMicrophone.kill, VirtualMicrophone.start),
    "source unloaded": (VirtualMicrophone.unload, VirtualMicrophone.load),
}
SETTLE_S = 5.5
"""Sound between two breaks: after five seconds of it the microphone is opened without delay."""


class Break(msgspec.Struct):
    """One break: seconds until the loss was published, and from the repair to the recovery."""

    kind: str
    lost_s: float
    restored_s: float
    faults: list[str]
    finals: int


class Report(msgspec.Struct):
    """All breaks, and the account of the samples at the end."""

    breaks: list[Break]
    epochs: int
    restarts: int
    samples: int
    lost_samples: int
    position_s: float
    lasted_s: float

    def complaints(self) -> list[str]:
        """What is wrong."""
        found = [
            f"break {number} ({b.kind}): faults {b.faults}, {b.finals} finals"
            for number, b in enumerate(self.breaks, 1)
            if b.faults != ["audio_lost", "audio_restored"] or b.finals != 1
        ]
        if self.epochs != 1:
            found.append(f"the daemon was started {self.epochs} times")
        if abs(self.samples + self.lost_samples - self.position_s * 16_000) > 320:
            found.append(
                f"{self.samples} samples and {self.lost_samples} lost ones do not make up "
                f"{self.position_s} s"
            )
        if abs(self.position_s - self.lasted_s) > 1:
            found.append(f"{self.position_s} s of stream in {self.lasted_s} s of time")
        return found


def main() -> bool:
    """Break, print a line per kind, and say what was not as it must be."""
    parser = script.parser_of(__doc__)
    parser.add_argument("--times", type=int, default=50)
    parser.add_argument("--settle", type=float, default=SETTLE_S, metavar="SECONDS")
    parser.add_argument("-o", "--output", type=Path, metavar="FILE", help="write JSON here")
    options = parser.parse_args()
    if reason := why_unavailable():
        raise UserError(reason)
    report = measure(options.times, options.settle)
    if options.output:
        options.output.write_bytes(msgspec.json.format(msgspec.json.encode(report), indent=1))
    for line in summary(report):
        print(line)
    complaints = report.complaints()
    for complaint in complaints:
        print(f"FAIL {complaint}")
    return not complaints


def measure(times: int, settle_s: float) -> Report:
    """Break the sound so many times."""
    microphone = VirtualMicrophone()
    with tempfile.TemporaryDirectory() as folder:
        remark = Path(folder) / "remark.wav"
        soundfile.write(
            remark, np.concatenate((silence(0.4), waveform(1, 0.8), silence(0.8))), 16_000
        )
        try:
            microphone.start()
            with running("--source", "mic", env=microphone.environment) as daemon:
                daemon.wait_for("any(s.state == 'listening' for s in self.statuses)")
                breaks = []
                for number in range(times):
                    kind = list(BREAKS)[number % len(BREAKS)]
                    breaks.append(_break(daemon, microphone, kind, remark, settle_s))
                    print(f"\r{number + 1} of {times}", end="", file=sys.stderr, flush=True)
                print(file=sys.stderr)
                daemon.signal(signal.SIGTERM)
                daemon.wait(10)
        finally:
            microphone.stop()
    last = daemon.statuses[-1]
    heard_from = next(s for s in daemon.statuses if s.position_s > 0)
    return Report(
        breaks=breaks,
        epochs=len({event.epoch for event in daemon.events}),
        restarts=last.counters.restarts,
        samples=last.counters.samples,
        lost_samples=last.counters.lost_samples,
        position_s=last.position_s,
        lasted_s=round(last.time - heard_from.time + heard_from.position_s, 3),
    )


def _break(
    daemon: Daemon, microphone: VirtualMicrophone, kind: str, remark: Path, settle_s: float
) -> Break:
    faults, finals = len(daemon.faults), len(daemon.finals)
    begin, end = BREAKS[kind]
    began = time.monotonic()
    begin(microphone)
    daemon.wait_for(f"len(self.faults) > {faults}")
    lost = time.monotonic()
    time.sleep(0.5)
    end(microphone)
    mended = time.monotonic()
    daemon.wait_for(f"len(self.faults) > {faults + 1}", 90)
    restored = time.monotonic()
    microphone.play(remark)
    daemon.wait_for(f"len(self.finals) > {finals}")
    time.sleep(max(0.5, restored + settle_s - time.monotonic()))
    return Break(
        kind=kind,
        lost_s=round(lost - began, 3),
        restored_s=round(restored - mended, 3),
        faults=[fault.code for fault in daemon.faults[faults:]],
        finals=len(daemon.finals) - finals,
    )


def summary(report: Report) -> Iterable[str]:
    """A line per kind, and one for all."""
    for kind in BREAKS:
        some = [b for b in report.breaks if b.kind == kind]
        if some:
            yield (
                f"{kind}: {len(some)} times; lost after {median(b.lost_s for b in some):.2f} s "
                f"(at most {max(b.lost_s for b in some):.2f}), back after "
                f"{median(b.restored_s for b in some):.2f} s "
                f"(at most {max(b.restored_s for b in some):.2f})"
            )
    yield (
        f"{report.position_s:.1f} s of stream in {report.lasted_s:.1f} s: {report.samples} samples "
        f"heard, {report.lost_samples} lost; {report.restarts} restarts of the capture process"
    )


if __name__ == "__main__":
    script.run(main)
