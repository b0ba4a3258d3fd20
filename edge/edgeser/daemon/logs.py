"""Where the daemon's log goes: lines for people, for journald with their level, or for programs."""

from __future__ import annotations

import json
import logging
import os
from datetime import datetime, timezone
from typing import Literal, TypeAlias

from edgeser.errors import one_line

LogFormat: TypeAlias = Literal["text", "json"]

_STDERR = 2

_PRIORITIES = (
    (logging.CRITICAL, 2),
    (logging.ERROR, 3),
    (logging.WARNING, 4),
    (logging.INFO, 6),
    (logging.DEBUG, 7),
)


class TextFormatter(logging.Formatter):
    """The level and the message, one line whatever is in it; a traceback follows on its own lines.

    ``for_journald``: every line begins with its level in angle brackets, as sd-daemon(3) has it.
    """

    def __init__(self, *, for_journald: bool = False) -> None:
        super().__init__()
        self._for_journald = for_journald

    def format(self, record: logging.LogRecord) -> str:
        lines = [one_line(record.getMessage())]
        if record.exc_info:
            lines += self.formatException(record.exc_info).splitlines()
        if not self._for_journald:
            return "\n".join([f"{record.levelname} {lines[0]}", *lines[1:]])
        priority = next((p for level, p in _PRIORITIES if record.levelno >= level), 7)
        return "\n".join(f"<{priority}>{line}" for line in lines)


class JsonFormatter(logging.Formatter):
    """One JSON object a line: ``time`` (UTC, ISO 8601), ``level``, ``logger``, ``message``, and
    ``exception`` with a traceback where there is one.
    """

    def format(self, record: logging.LogRecord) -> str:
        time = datetime.fromtimestamp(record.created, timezone.utc)
        fields = {
            "time": time.isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            fields["exception"] = self.formatException(record.exc_info)
        return json.dumps(fields)


def set_up(*, verbose: bool, log_format: LogFormat = "text") -> None:
    """Log to standard error, with levels for journald when that is where it leads."""
    handler = logging.StreamHandler()
    if log_format == "json":
        handler.setFormatter(JsonFormatter())
    else:
        handler.setFormatter(TextFormatter(for_journald=_leads_to_journald()))
    logging.basicConfig(level=logging.DEBUG if verbose else logging.INFO, handlers=[handler])


def _leads_to_journald() -> bool:
    """Whether standard error is still the stream that systemd connected: the variable alone does
    not tell, since it is also inherited when standard error is redirected (systemd.exec(5)).
    """
    try:
        facts = os.fstat(_STDERR)
    except OSError:
        return False
    return os.environ.get("JOURNAL_STREAM") == f"{facts.st_dev}:{facts.st_ino}"
