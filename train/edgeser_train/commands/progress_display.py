"""The progress display of a training: folds, epochs, loss and the time left."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType

from rich.console import Console
from rich.live import Live
from rich.text import Text

from edgeser_train.training.progress import Progress, read_progress

_EVERY_S = 1.0
_LINES_EVERY_S = 60.0
"""If standard error is not a terminal, so as not to flood a log."""


@dataclass
class Pace:
    """How far all trainings are together, and how long the rest takes at the pace so far."""

    trainings: int
    epochs: int
    finished: int = 0
    _first: dict[str, float] = field(default_factory=dict)
    """Epochs that each had done when it was first seen, i.e. before it was resumed."""

    def lines(self, running: Sequence[Progress], elapsed_s: float) -> list[str]:
        """One line for all trainings, and one for each that is running."""
        for progress in running:
            self._first.setdefault(progress.name, progress.done if progress.done > 1 else 0.0)
        done = self.finished * self.epochs + sum(progress.done for progress in running)
        worked = done - sum(self._first.values())
        left = self.trainings * self.epochs - done
        words = f"trained {self.finished} of {self.trainings}"
        if worked > 0 and left > 0:
            words += f", about {duration(left * elapsed_s / worked)} of training left"
        return [words, *(_line(progress) for progress in running)]


def duration(seconds: float) -> str:
    """E.g. "1 h 05 min", "3 min", "20 s"."""
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes // 60} h {minutes % 60:02} min" if minutes >= 60 else f"{minutes} min"


def _line(progress: Progress) -> str:
    name = progress.name.rpartition("-")[0]
    if progress.scored is not None:
        return f"  {name}: trained, {100 * progress.scored:.0f} % scored"
    ua = "" if progress.ua is None else f", validation UA {100 * progress.ua:.1f} %"
    return f"  {name}: epoch {progress.done:.1f} of {progress.epochs}, loss {progress.loss:.3f}{ua}"


class ProgressDisplay:
    """Shows the trainings below a run folder until the block is left.

    On a terminal the lines change in place; elsewhere they are written once a minute.
    """

    def __init__(self, run: Path, trainings: int, epochs: int) -> None:
        self.pace = Pace(trainings, epochs)
        self._works = run / "unfinished"
        self._console = Console(stderr=True, highlight=False)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._show, daemon=True)

    def __enter__(self) -> ProgressDisplay:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._ended.set()
        self._thread.join()

    def finished(self, kept: bool) -> None:
        """Count a training as finished, or, if it was ``kept`` from before, as not to be done."""
        if kept:
            self.pace.trainings -= 1
        else:
            self.pace.finished += 1

    def print(self, line: str) -> None:
        """Print a permanent line above those that change."""
        self._console.print(line, markup=False)

    def _show(self) -> None:
        begun = time.monotonic()
        if not self._console.is_terminal:
            while not self._ended.wait(_LINES_EVERY_S):
                for line in self._lines(begun):
                    self.print(line)
            return
        with Live(console=self._console, transient=True, auto_refresh=False) as live:
            while not self._ended.wait(_EVERY_S):
                live.update(Text("\n".join(self._lines(begun))), refresh=True)

    def _lines(self, begun: float) -> list[str]:
        return self.pace.lines(read_progress(self._works), time.monotonic() - begun)
