"""The state of the live view, from the events so far. Pure: the time is a parameter."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from edgeser.errors import UserError
from edgeser.events.schema import (
    EmotionEvent,
    FaultEvent,
    LevelEvent,
    SpeechEvent,
    StatusEvent,
    is_speech,
    topic_of,
)
from edgeser.events.sequence import Gap
from edgeser.events.subscribe.subscriber import Received

HISTORY = 500
FAULTS = 20


@dataclass
class Segment:
    """The segment shown live: the open one, or the last."""

    stream: str
    number: int
    opened_at: float
    length_s: float | None = None
    """Known once it has ended."""
    emotion: EmotionEvent | None = None

    def clock_s(self, now: float) -> float:
        """Its length: so far, or final."""
        return now - self.opened_at if self.length_s is None else self.length_s


class ListenState:
    """All that is shown. Times are monotonic seconds unless they come from an event."""

    def __init__(self, endpoint: str, now: float, topics: Sequence[str] = ("",)) -> None:
        """``topics``: prefixes of those that are counted; statuses of others are only shown."""
        self.endpoint = endpoint
        self.trouble: UserError | None = None
        """Why nothing has been heard so far."""
        self._topics = tuple(topics)
        self.events = 0
        self.missed = 0
        self.streams: dict[str, None] = {}
        self.status: StatusEvent | None = None
        self.statuses: dict[str, StatusEvent] = {}
        """The latest of each stream."""
        self.levels: dict[str, LevelEvent] = {}
        self.status_at = self.heard_at = now
        self.segment: Segment | None = None
        self.finals: deque[EmotionEvent] = deque(maxlen=HISTORY)
        self.faults: deque[FaultEvent] = deque(maxlen=FAULTS)
        self.labels: list[str] = []
        self._received_at = now
        self._epoch = ""

    @property
    def in_speech(self) -> bool:
        """Whether a segment is open, so that its clock runs."""
        return self.segment is not None and self.segment.length_s is None

    def silent_s(self, now: float) -> float:
        """Seconds since the last event that counts, or since the start."""
        return now - self._received_at

    def apply(self, item: Received, now: float) -> None:
        """Take an event or a gap."""
        self.heard_at = now
        if isinstance(item, LevelEvent):  # only for the meter, so not counted
            self.levels[item.stream] = item
            return
        counts = isinstance(item, Gap) or topic_of(item).startswith(self._topics)
        if counts:
            self._received_at = now
        if isinstance(item, Gap):
            self.missed += item.missed
            return
        self.events += counts
        if item.epoch != self._epoch:  # another daemon: its segments count from 1 again
            self._epoch = item.epoch
            self.segment = None
            self.statuses.clear()
            self.levels.clear()
        self.streams[item.stream] = None
        if isinstance(item, StatusEvent):
            self.status, self.status_at = item, now
            self.statuses[item.stream] = item
        elif isinstance(item, FaultEvent):
            self.faults.append(item)
        elif isinstance(item, SpeechEvent):
            self._apply_speech(item, now)
        elif isinstance(item, EmotionEvent):
            self._apply_emotion(item, now)

    def _apply_speech(self, event: SpeechEvent, now: float) -> None:
        if not is_speech(event):
            return  # it was never shown as a segment
        segment = self._enter(event.stream, event.segment, now)
        if event.end is not None:
            segment.length_s = event.end - event.start

    def _apply_emotion(self, event: EmotionEvent, now: float) -> None:
        self.labels = list(event.scores)
        if event.kind == "final":
            self.finals.append(event)
            shown = self.segment
            if shown and shown.stream == event.stream and shown.number > event.segment:
                return  # the next segment has begun meanwhile and stays in view
        segment = self._enter(event.stream, event.segment, now - (event.end - event.start))
        segment.emotion = event
        if event.kind == "final":
            segment.length_s = event.end - event.start

    def _enter(self, stream: str, number: int, opened_at: float) -> Segment:
        """The segment of this number, which becomes the one shown."""
        shown = self.segment
        if shown is None or (shown.stream, shown.number) != (stream, number):
            shown = self.segment = Segment(stream, number, opened_at)
        return shown
