"""Points in time as a user writes them."""

from __future__ import annotations

import re
from datetime import datetime, timedelta

from edgeser.errors import UserError

_UNITS_S = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_AGO = re.compile(r"([0-9]{1,9})([smhd])")


def looks_like_moment(text: str) -> bool:
    """Whether the text is meant as a point in time: a duration ago, or a date."""
    return bool(_AGO.fullmatch(text)) or bool(re.match(r"[0-9]{4}-", text))


def parse_moment(text: str, now: datetime) -> float:
    """``90s``, ``15m``, ``1h``, ``2d`` ago, or an ISO date or time, in Unix seconds.

    A date is local where it names no zone. Raises UserError.
    """
    try:
        if ago := _AGO.fullmatch(text):
            return (now - timedelta(seconds=int(ago[1]) * _UNITS_S[ago[2]])).timestamp()
        # Python 3.10 does not know Z, which 'date -u +%FT%TZ' and JavaScript write.
        return datetime.fromisoformat(re.sub("Z$", "+00:00", text)).timestamp()
    except (ValueError, OverflowError, OSError):
        raise UserError(
            f"time {text!r}: expected 15m, 1h, 2d, or a date like 2026-11-20T08:00"
        ) from None
