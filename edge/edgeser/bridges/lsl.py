"""Scores and markers for Lab Streaming Layer, so that a recorder puts them beside other signals.

Each stream of the daemon becomes two of LSL: ``edgeser-<stream>``, a channel of float32 per label,
and ``edgeser-<stream>-markers``, text. LSL has no history: what is published while nobody records
is not kept for later, so there is no cursor.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable

from edgeser.errors import UserError
from edgeser.events.schema import (
    AnyEvent,
    EmotionEvent,
    FaultEvent,
    SpeechEvent,
    StatusEvent,
    is_speech,
)

try:
    import pylsl
except ImportError as error:
    raise UserError("pylsl is not installed", "pip install 'edgeser[lsl]'") from error
except RuntimeError as error:  # its wheel for this machine holds no liblsl
    raise UserError(
        "liblsl is not there", "install it from github.com/sccn/liblsl, or set PYLSL_LIB"
    ) from error


_WINDOW_S = 60.0


class LslStreams:
    """The outlets of one machine, made when a stream is first heard of."""

    def __init__(
        self,
        node: str,
        clock: Callable[[], float] = pylsl.local_clock,
        wall: Callable[[], float] = time.time,
    ) -> None:
        """``node``: name of this machine; a recorder finds the streams again by it."""
        self._node = node
        self._clock = clock
        self._wall = wall
        self._promptest_s = self._promptest_before_s = math.inf
        """The least delay of an event, which includes the offset of the daemon's clock, in this
        window and in the one before. Old windows are forgotten: the clock may drift, or be set.
        """
        self._window_ends = -math.inf
        self._scores: dict[str, tuple[tuple[str, ...], pylsl.StreamOutlet]] = {}
        self._markers: dict[str, pylsl.StreamOutlet] = {}

    def push(self, event: AnyEvent) -> None:
        """Hand on an event that has just been received.

        Its timestamp is the time of publication by LSL's clock: now, less its delay beyond that of
        the promptest event of the last two minutes. An emotion's is the capture of the last sample
        that it needed: less the event's latency, too.
        """
        now, on_its_way_s = self._clock(), self._wall() - event.time
        if now >= self._window_ends:
            self._promptest_before_s, self._promptest_s = self._promptest_s, math.inf
            self._window_ends = now + _WINDOW_S
        self._promptest_s = min(self._promptest_s, on_its_way_s)
        published = now - (on_its_way_s - min(self._promptest_s, self._promptest_before_s))
        if isinstance(event, StatusEvent):
            self._outlet(event.stream, tuple(event.labels))
            self._marker(event.stream)
        elif isinstance(event, EmotionEvent):
            at = published - event.latency_ms.total / 1000
            labels = tuple(event.scores)
            self._outlet(event.stream, labels).push_sample(list(event.scores.values()), at)
            if event.kind == "final":
                self._marker(event.stream).push_sample([f"final {event.label}"], at)
        elif isinstance(event, SpeechEvent) and is_speech(event):
            self._marker(event.stream).push_sample([f"speech {event.state}"], published)
        elif isinstance(event, FaultEvent):
            self._marker(event.stream).push_sample([f"fault {event.code}"], published)

    def _outlet(self, stream: str, labels: tuple[str, ...]) -> pylsl.StreamOutlet:
        """The outlet of the scores; a new one if the model has other labels now."""
        known = self._scores.get(stream)
        if known is not None and known[0] == labels:
            return known[1]
        info = pylsl.StreamInfo(
            f"edgeser-{stream}",
            "Emotion",
            len(labels),
            pylsl.IRREGULAR_RATE,
            pylsl.cf_float32,
            f"edgeser-{self._node}-{stream}",
        )
        info.set_channel_labels(list(labels))
        info.set_channel_units("probability")
        outlet = pylsl.StreamOutlet(info)
        self._scores[stream] = (labels, outlet)
        return outlet

    def _marker(self, stream: str) -> pylsl.StreamOutlet:
        if stream not in self._markers:
            info = pylsl.StreamInfo(
                f"edgeser-{stream}-markers",
                "Markers",
                1,
                pylsl.IRREGULAR_RATE,
                pylsl.cf_string,
                f"edgeser-{self._node}-{stream}-markers",
            )
            self._markers[stream] = pylsl.StreamOutlet(info)
        return self._markers[stream]
