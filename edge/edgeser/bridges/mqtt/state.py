"""The retained state of a stream. Pure: no clock."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from edgeser.events.schema import (
    AnyEvent,
    EmotionEvent,
    ModelRef,
    SpeechEvent,
    StatusEvent,
)

Switch = Literal["ON", "OFF"]


class StateMessage(msgspec.Struct, frozen=True, omit_defaults=False):
    """The payload of a stream's ``state`` topic."""

    emotion: Annotated[str | None, Meta(description="the smoothed label; null before the first")]
    confidence: Annotated[
        float | None,
        Meta(description="the last window's score of `emotion`, percent; null while it is unknown"),
    ]
    label: Annotated[str | None, Meta(description="of the last window, or `unknown`")]
    valence: float | None
    arousal: float | None
    speech: Annotated[Switch, Meta(description="a segment is open")]
    problem: Annotated[Switch, Meta(description="no sound arrives, or something is degraded")]
    muted: Annotated[Switch, Meta(description="what is heard does not count")]
    daemon: Annotated[str, Meta(description="the daemon's own word for its state")]


class StreamState:
    """The state of a stream, from its events."""

    def __init__(self) -> None:
        self.model: ModelRef | None = None
        self.labels: tuple[str, ...] = ()
        """The labels of its model; empty while unknown."""
        self.is_online = False
        self._speech = False
        self._muted = False
        self._daemon = "starting"
        self._emotion: EmotionEvent | None = None

    def apply(self, event: AnyEvent) -> None:
        """Take account of the next event of this stream."""
        if isinstance(event, EmotionEvent):
            self._emotion = event
            self._describe(event.model, event.scores)
        elif isinstance(event, SpeechEvent):
            self._speech = event.state == "start"
        elif isinstance(event, StatusEvent):
            self._daemon = event.state
            self._muted = event.muted
            self._speech = event.state == "speech"
            self.is_online = event.state != "stopping"
            self._describe(event.model, event.labels)

    def catch_up(self, event: AnyEvent) -> None:
        """Take account of a replayed event: of the past, only the last emotion matters."""
        if not isinstance(event, EmotionEvent):
            return
        last = self._emotion
        if last is None or event.epoch != last.epoch or event.seq > last.seq:
            self.apply(event)

    def mark_offline(self) -> None:
        """Note that the daemon has given no sign of life for too long."""
        self.is_online = False
        self._speech = False

    def message(self) -> StateMessage:
        """The message to retain."""
        last = self._emotion
        score = last.scores.get(last.smoothed.label) if last else None
        return StateMessage(
            emotion=last.smoothed.label if last else None,
            confidence=None if score is None else round(score * 100, 1),
            label=last.label if last else None,
            valence=last.valence if last else None,
            arousal=last.arousal if last else None,
            speech="ON" if self._speech else "OFF",
            problem="ON" if self._daemon in ("no_audio", "degraded") else "OFF",
            muted="ON" if self._muted else "OFF",
            daemon=self._daemon,
        )

    def _describe(self, model: ModelRef, labels: list[str] | dict[str, float]) -> None:
        if model != self.model:
            self.model, self.labels = model, ()
        if labels:
            self.labels = tuple(labels)
