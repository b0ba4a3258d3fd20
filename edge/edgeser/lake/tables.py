"""Events as rows of three tables: finals, speech, faults. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from datetime import datetime, timezone
from typing import NamedTuple

import msgspec
import pyarrow

from edgeser.bridges.nats.subjects import origin
from edgeser.events.columns import emotion_columns
from edgeser.events.schema import (
    AnyEvent,
    EmotionEvent,
    FaultEvent,
    SpeechEvent,
    decode,
)

KEY = ("site", "device", "stream", "epoch", "seq")
"""The columns that identify a row of a table."""

_TEXT, _REAL, _WHOLE = pyarrow.string(), pyarrow.float64(), pyarrow.int64()
_FIRST = [
    ("site", _TEXT),
    ("device", _TEXT),
    ("stream", _TEXT),
    ("epoch", _TEXT),
    ("seq", _WHOLE),
    ("time", pyarrow.timestamp("us")),
]
SCHEMAS = {
    "finals": pyarrow.schema(
        [
            *_FIRST,
            ("segment", _WHOLE),
            ("start", _REAL),
            ("end", _REAL),
            ("label", _TEXT),
            ("confidence", _REAL),
            ("scores", pyarrow.map_(_TEXT, _REAL)),
            ("smoothed", _TEXT),
            ("valence", _REAL),
            ("arousal", _REAL),
            ("continued", pyarrow.bool_()),
            ("speech_ratio", _REAL),
            ("level_dbfs", _REAL),
            ("clipped_ratio", _REAL),
            ("snr_db", _REAL),
            ("speech_probability", _REAL),
            ("noise_probability", _REAL),
            ("latency_ms", _REAL),
            ("lost_samples", _WHOLE),
            ("model", _TEXT),
            ("model_sha256", _TEXT),
        ]
    ),
    "speech": pyarrow.schema(
        [
            *_FIRST,
            ("state", _TEXT),
            ("segment", _WHOLE),
            ("start", _REAL),
            ("end", _REAL),
            ("reason", _TEXT),
        ]
    ),
    "faults": pyarrow.schema(
        [*_FIRST, ("code", _TEXT), ("message", _TEXT), ("recovered", pyarrow.bool_())]
    ),
}
"""Times are UTC, without a time zone; ``start`` and ``end``: seconds of the stream."""

REJECTED = pyarrow.schema([("subject", _TEXT), ("payload", pyarrow.binary()), ("error", _TEXT)])
REJECTED_KEY = ("subject", "payload")


class Message(NamedTuple):
    """What a device published."""

    subject: str
    payload: bytes


class Place(NamedTuple):
    """A table's part of a day, UTC, as ``YYYY-MM-DD``."""

    table: str
    day: str


class Sorted(NamedTuple):
    """Messages as rows by table and day; those that are no events of ours are separate."""

    rows: dict[Place, pyarrow.Table]
    rejected: pyarrow.Table


def sort(messages: Iterable[Message]) -> Sorted:
    """Rows of each table and day, each key once, in the order of their keys; and messages that are
    no events of ours, each once.
    """
    found: defaultdict[Place, dict[tuple[object, ...], dict[str, object]]] = defaultdict(dict)
    rejected: dict[Message, str] = {}
    for message in messages:
        try:
            place, row = _row(message)
        except (ValueError, OverflowError, OSError) as error:
            rejected[message] = " ".join(str(error).split())[:500]
            continue
        found[place].setdefault(tuple(row[name] for name in KEY), row)
    rows = {
        place: pyarrow.Table.from_pylist(
            [by_key[key] for key in sorted(by_key)], SCHEMAS[place.table]
        )
        for place, by_key in found.items()
    }
    refused = [{**message._asdict(), "error": why} for message, why in rejected.items()]
    return Sorted(rows, pyarrow.Table.from_pylist(refused, REJECTED))


def _row(message: Message) -> tuple[Place, dict[str, object]]:
    """The place and row of a message. Raises ValueError unless it is an event of a stored type."""
    came_from = origin(message.subject)
    if came_from is None:
        raise ValueError("the subject is not edgeser.SITE.DEVICE.TYPE.STREAM")
    try:
        event = decode(message.payload)
    except msgspec.MsgspecError as error:
        raise ValueError(f"no event: {error}") from error
    at = datetime.fromtimestamp(event.time, timezone.utc).replace(tzinfo=None)
    first = {
        "site": came_from.site,
        "device": came_from.device,
        "stream": event.stream,
        "epoch": event.epoch,
        "seq": event.seq,
        "time": at,
    }
    table, rest = _columns(event)
    row = {**first, **rest}
    for name, value in row.items():
        if isinstance(value, int) and not -(2**63) <= value < 2**63:
            raise ValueError(f"{name}: a number of more than 64 bits")
    return Place(table, at.date().isoformat()), row


def _columns(event: AnyEvent) -> tuple[str, dict[str, object]]:
    if isinstance(event, EmotionEvent) and event.kind == "final":
        return "finals", {
            **emotion_columns(event),
            "scores": list(event.scores.items()),
            "smoothed": event.smoothed.label,
            "latency_ms": event.latency_ms.total,
            "lost_samples": event.lost.samples,
            "model": event.model.name,
        }
    if isinstance(event, SpeechEvent):
        return "speech", {
            "state": event.state,
            "segment": event.segment,
            "start": event.start,
            "end": event.end,
            "reason": event.reason,
        }
    if isinstance(event, FaultEvent):
        return "faults", {
            "code": event.code,
            "message": event.message,
            "recovered": event.recovered,
        }
    raise ValueError(f"no event that is kept: {event.type}")
