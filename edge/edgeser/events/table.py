"""Events as rows of a table: what ``edgeser events --csv`` prints and the page lets one keep."""

from __future__ import annotations

from datetime import datetime

from edgeser.events.schema import AnyEvent, EmotionEvent, FaultEvent, SpeechEvent

COLUMNS = ("time", "stream", "type", "what", "start", "end", "confidence", "epoch", "seq")


def row(event: AnyEvent) -> tuple[str, ...]:
    """One event in the columns of ``COLUMNS``."""
    what = start = end = confidence = ""
    if isinstance(event, EmotionEvent):
        what, confidence = event.label, f"{event.confidence:.4f}"
    elif isinstance(event, SpeechEvent):
        what = event.state
    elif isinstance(event, FaultEvent):
        what = f"{event.code}: {event.message}"
    if isinstance(event, EmotionEvent | SpeechEvent):
        start, end = f"{event.start:.2f}", "" if event.end is None else f"{event.end:.2f}"
    time = datetime.fromtimestamp(event.time).astimezone().isoformat(timespec="milliseconds")
    kind = str(event.__struct_config__.tag)
    return (time, event.stream, kind, what, start, end, confidence, event.epoch, str(event.seq))
