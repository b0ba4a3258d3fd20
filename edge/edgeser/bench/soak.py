"""Months in hours: speech and silence through a real daemon, as fast as it can process them."""

from __future__ import annotations

import os
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np

from edgeser.bench import process, sound
from edgeser.bench.machine import busy_with_others, cpu_times, this_machine, usage
from edgeser.bench.mix import room
from edgeser.bench.receiver import receiver
from edgeser.bench.report import Report, now, speech_name
from edgeser.errors import UserError
from edgeser.events.schema import EmotionEvent, ModelRef, SpeechEvent, StatusEvent
from edgeser.pcm import FRAME_SAMPLES, SAMPLE_RATE, Samples

SILENCE_S = 20.0
"""Silence of a quiet room after each repetition of the speech."""

WARM_UP_SHARE = 0.1
"""Memory growth is measured from after this share of the run."""


SLOPE_HOURS = 6.0
"""Shortest run for which memory growth per day is meaningful: a shorter one is all warm-up."""


class SoakReport(Report, frozen=True, kw_only=True, tag="edgeser-soak-1"):
    """The result of ``edgeser bench soak``.

    ``segments``: those that ended with enough speech for a final. ``lost_finals``: how many of them
    had none, plus duplicate finals. ``gaps``: those that the subscriber saw. ``drift_samples``: how
    far the last turn's segments have moved from the second turn's. ``rss_growth_mb_per_day``: null
    if the run was too short to tell.
    """

    model: ModelRef
    backend: str
    speech: str
    audio_hours: float
    wall_s: float
    last_sample: int
    segments: int
    finals: int
    lost_finals: int
    dropped_windows: int
    faults: int
    gaps: int
    drift_samples: int
    rss_warm_mb: float
    rss_end_mb: float
    rss_growth_mb_per_day: float | None
    rss_mb: list[float]


def measure(
    speech: Path,
    hours: float,
    model: str | None = None,
    tell: Callable[[float, float], None] = lambda hours, rss: None,
    *,
    command: str,
) -> SoakReport:
    """Run it; ``tell`` is called with the audio hours done and the memory in MB. Raises UserError.

    ``model``: a name or a file; None: the default.
    """
    turn = _turn(sound.samples_of(speech))
    turns = max(2, round(hours * 3600 * SAMPLE_RATE / len(turn)))
    begun = time.monotonic()
    starts: list[int] = []
    ended: set[int] = set()
    finals: Counter[int] = Counter()
    rss: list[float] = []
    status: StatusEvent | None = None
    arguments = ["--source", "-", "--once", "--await-subscriber"]
    if model is not None:
        arguments += ["--model", model]
    with process.daemon(arguments) as daemon:
        feeder = threading.Thread(target=_feed, args=(daemon.process, turn, turns), daemon=True)
        with receiver(daemon) as received:
            before, first_s = cpu_times(), usage(os.getpid()).cpu_s
            after, last_s = before, first_s
            feeder.start()
            for _, event in received:
                if isinstance(event, SpeechEvent) and event.state == "end" and event.has_final:
                    ended.add(event.segment)
                elif isinstance(event, EmotionEvent) and event.kind == "final":
                    finals[event.segment] += 1
                    starts.append(round(event.start * SAMPLE_RATE))
                elif isinstance(event, StatusEvent):
                    status = event
                    if event.state == "stopping":
                        break
                    if used := daemon.usage():
                        rss.append(used.resident_mb)
                        after, last_s = cpu_times(), usage(os.getpid()).cpu_s
                        tell(event.position_s / 3600, rss[-1])
        feeder.join(10)
        daemon.check()
        gaps = received.gaps
    if status is None or not finals:
        raise UserError(f"{speech}: the daemon heard no speech in it", "give another --speech")
    warm = int(len(rss) * WARM_UP_SHARE)
    audio_hours = status.position_s / 3600
    return SoakReport(
        command=command,
        date=now(),
        machine=this_machine(),
        warning=busy_with_others(before, after, last_s - first_s),
        model=status.model,
        backend=status.backend,
        speech=speech_name(speech),
        audio_hours=audio_hours,
        wall_s=time.monotonic() - begun,
        last_sample=status.counters.samples,
        segments=len(ended),
        finals=sum(finals.values()),
        lost_finals=len(ended - finals.keys()) + sum(n - 1 for n in finals.values()),
        dropped_windows=status.counters.dropped_windows,
        faults=status.counters.faults,
        gaps=gaps,
        drift_samples=_drift(starts, len(turn)),
        rss_warm_mb=rss[warm],
        rss_end_mb=rss[-1],
        rss_growth_mb_per_day=_slope(rss[-1] - rss[warm], audio_hours),
        rss_mb=rss,
    )


def _slope(grown_mb: float, audio_hours: float) -> float | None:
    """MB per 24 h of sound; None for a run that was too short."""
    if audio_hours < SLOPE_HOURS:
        return None
    return grown_mb / (audio_hours * (1 - WARM_UP_SHARE) / 24)


def _turn(samples: Samples) -> Samples:
    """Speech, then a quiet room; a whole number of VAD frames, so that all turns are equal."""
    both = np.concatenate((samples, room(SILENCE_S)))
    return both[: len(both) // FRAME_SAMPLES * FRAME_SAMPLES]


def _feed(daemon: subprocess.Popen[bytes], turn: Samples, turns: int) -> None:
    """Write the sound into the daemon's standard input, at the pace at which it reads."""
    assert daemon.stdin is not None
    data = turn.astype("<i2").tobytes()
    try:
        for _ in range(turns):
            daemon.stdin.write(data)
        daemon.stdin.close()
    except (BrokenPipeError, ValueError):
        return  # the daemon has ended, which the reader of its events finds out


def _drift(starts: list[int], turn: int) -> int:
    """Largest shift of a segment within its turn, from the second turn to the last.

    The first turn is left out, since the noise floor is not learnt yet.
    """
    by_turn: dict[int, list[int]] = {}
    for start in starts:
        by_turn.setdefault(start // turn, []).append(start % turn)
    second, last = by_turn.get(1, []), by_turn.get(max(by_turn), [])
    if len(second) != len(last):
        return turn
    return max((abs(a - b) for a, b in zip(second, last, strict=True)), default=0)
