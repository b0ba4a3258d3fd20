"""A position that outlives its process: written aside, then renamed."""

from __future__ import annotations

import logging
import os
from pathlib import Path

import msgspec

from edgeser.errors import UserError
from edgeser.events.subscribe.catch_up import Position
from edgeser.events.wire.lock import FileLock, holder

log = logging.getLogger(__name__)


class PositionFile:
    """The file of one bridge, which nobody else may use meanwhile.

    Its folder is made. After a power cut it holds the position saved last or the one before.
    """

    def __init__(self, path: Path) -> None:
        """Raises UserError where another process uses it, or the folder cannot be written to."""
        self.path = path
        self._lock_path = path.with_name(f"{path.name}.lock")
        self._saved: Position | None = None
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
            self._saved = msgspec.json.decode(self.path.read_bytes(), type=Position)
        except FileNotFoundError:
            self._saved = None
        except OSError as error:
            raise UserError(f"cursor {self.path}: {error.strerror}", "make it readable") from error
        except (msgspec.MsgspecError, ValueError) as error:
            raise UserError(
                f"cursor {self.path}: holds no position: {error}",
                "delete it to begin with what comes next, or use --since all",
            ) from error
        return self._saved

    def save(self, position: Position | None) -> None:
        """Write a position, whole or not at all.

        One that cannot be written is said once and counts as ``trouble``: the bridge goes on, and
        after a restart hands over again what came since the last one that was.
        """
        if position is None or (position == self._saved and not self.trouble):
            return
        aside = self.path.with_name(f"{self.path.name}.new")
        try:
            with aside.open("wb") as file:
                file.write(msgspec.json.encode(position))
                file.flush()
                os.fsync(file.fileno())
            os.replace(aside, self.path)
        except OSError as error:
            aside.unlink(missing_ok=True)
            trouble = error.strerror or str(error)
            if trouble != self.trouble:
                log.warning(
                    "cursor %s: cannot be written: %s; events go on, and what comes until it can "
                    "is told again after a restart",
                    self.path,
                    trouble,
                )
            self.trouble = trouble
            return
        if self.trouble:
            log.info("cursor %s: is written again", self.path)
        self.trouble = ""
        self._saved = position

    def close(self) -> None:
        """Let others use it."""
        self._lock.release()
