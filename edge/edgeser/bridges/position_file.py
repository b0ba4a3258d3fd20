"""A position that outlives its process."""

from __future__ import annotations

import logging
import time
from pathlib import Path

import msgspec

from edgeser.errors import UserError
from edgeser.events.subscribe.catch_up import Position
from edgeser.events.wire.lock import FileLock, holder
from edgeser.regular_file import regular
from edgeser.whole_file import write_whole

log = logging.getLogger(__name__)


MARK_INTERVAL_S = 300.0
MARKS_KEPT_S = 1800.0
"""By default Mosquitto writes its state to disk every half hour."""


class _Mark(msgspec.Struct, frozen=True):
    time: float
    position: Position


class _Kept(msgspec.Struct, frozen=True):
    position: Position
    marks: list[_Mark] = []


class PositionFile:
    """The file of one bridge, locked against others.

    Its folder is made. After a power cut it holds the position saved last or the one before. It
    also holds the positions of the last half hour, five minutes apart, for a receiver that has
    forgotten what it acknowledged.
    """

    def __init__(self, path: Path) -> None:
        """Raises UserError where another process uses it, or the folder cannot be written to."""
        self.path = path
        self._lock_path = path.with_name(f"{path.name}.lock")
        self._saved: _Kept | None = None
        self.trouble = ""
        """Why the last ``save`` failed; empty when it did not."""
        try:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._lock = FileLock(self._lock_path)
        except BlockingIOError:
            raise UserError(
                f"cursor {path}: in use by {holder(self._lock_path)}",
                "stop that bridge, or name another file with --cursor",
            ) from None
        except OSError as error:
            raise UserError(
                f"cursor {path}: {error.strerror}", "name another file with --cursor"
            ) from error

    def load(self) -> Position | None:
        """The position saved last; None where there is none.

        Raises UserError for a file that holds something else.
        """
        try:
            self._saved = msgspec.json.decode(regular(self.path).read_bytes(), type=_Kept)
        except FileNotFoundError:
            self._saved = None
        except OSError as error:
            raise UserError(f"cursor {self.path}: {error.strerror}", "make it readable") from error
        except (msgspec.MsgspecError, ValueError, RecursionError) as error:
            raise UserError(
                f"cursor {self.path}: holds no position: {error}",
                "delete it, and say with --since where to begin if not with what comes next",
            ) from error
        return self._saved.position if self._saved else None

    def earlier(self, now: float | None = None) -> Position | None:
        """The position half an hour ago, or the oldest known; None if there is none."""
        if self._saved is None:
            return None
        limit = (time.time() if now is None else now) - MARKS_KEPT_S
        old = [mark.position for mark in self._saved.marks if mark.time <= limit]
        known = old[-1:] or [mark.position for mark in self._saved.marks[:1]]
        return known[0] if known else self._saved.position

    def save(self, position: Position | None, now: float | None = None) -> None:
        """Write a position, whole or not at all.

        If that fails, it is logged once and set as ``trouble``: the bridge goes on, and after a
        restart hands over again what came since the last position written.
        """
        saved, now = self._saved, time.time() if now is None else now
        if position is None or (saved and position == saved.position and not self.trouble):
            return
        kept = _Kept(position, _with_mark(saved.marks if saved else [], position, now))
        try:
            write_whole(self.path, msgspec.json.encode(kept))
        except OSError as error:
            trouble = error.strerror or str(error)
            if trouble != self.trouble:
                log.warning(
                    "cursor %s: cannot be written: %s; events are still forwarded, and those "
                    "until then are sent again after a restart",
                    self.path,
                    trouble,
                )
            self.trouble = trouble
            return
        if self.trouble:
            log.info("cursor %s: is written again", self.path)
        self.trouble = ""
        self._saved = kept

    def close(self) -> None:
        """Release the lock."""
        self._lock.release()


def _with_mark(marks: list[_Mark], position: Position, now: float) -> list[_Mark]:
    """The marks, with one more if the last is old enough, less those that are not needed.

    Marks in the future are moved to now: the clock has been set back.
    """
    marks = [_Mark(min(mark.time, now), mark.position) for mark in marks]
    if marks and now - marks[-1].time < MARK_INTERVAL_S:
        return marks
    marks = [*marks, _Mark(now, position)]
    while len(marks) > 2 and marks[1].time <= now - MARKS_KEPT_S:
        marks = marks[1:]
    return marks
