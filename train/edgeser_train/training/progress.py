"""How far a training has got, in a file of its folder, for this process and others to read."""

from __future__ import annotations

import time
from pathlib import Path

import msgspec

from edgeser_train.files import write_whole

_FILE = "progress.json"
_AT_MOST_EVERY_S = 0.5


class Progress(msgspec.Struct, frozen=True):
    """``done``: epochs, including the fraction of the current one; ``loss``: mean of the last
    complete epoch, in the first epoch that of the batches so far; ``ua``: on the validation part,
    where it is watched; ``scored``: the share of the scoring that is done, once it has begun.
    """

    name: str
    done: float
    epochs: int
    loss: float
    ua: float | None = None
    scored: float | None = None


class ProgressWriter:
    """Writes the progress of one training and its scoring, not more than twice a second."""

    def __init__(self, work: Path) -> None:
        self._work = work
        self._next = 0.0

    def write(
        self,
        done: float,
        epochs: int,
        loss: float,
        ua: float | None = None,
        scored: float | None = None,
    ) -> None:
        """Raises UserError when it cannot be written."""
        if time.monotonic() >= self._next:
            self._next = time.monotonic() + _AT_MOST_EVERY_S
            progress = Progress(self._work.name, done, epochs, loss, ua, scored)
            write_whole(self._work / _FILE, msgspec.json.encode(progress))


def read_progress(works: Path) -> list[Progress]:
    """The progress of the trainings below a folder, by name."""
    found = []
    for path in sorted(works.glob(f"*/{_FILE}")):
        try:
            found.append(msgspec.json.decode(path.read_bytes(), type=Progress))
        except (OSError, msgspec.MsgspecError):
            continue  # it has just ended
    return found


def remove_progress(work: Path) -> None:
    """Remove its file."""
    (work / _FILE).unlink(missing_ok=True)
