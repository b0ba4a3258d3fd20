"""What is retained of a stream."""

from __future__ import annotations

import msgspec

from edgeser.bridges.mqtt.state import StreamState
from edgeser.events.schema import UNKNOWN, Smoothed
from tests.events.helpers import emotion


def test_the_confidence_is_that_of_the_emotion_beside_it() -> None:
    state = StreamState()
    state.apply(msgspec.structs.replace(emotion(label="sad"), smoothed=Smoothed("happy", 1.0)))
    said = state.message()
    assert (said.label, said.emotion, said.confidence) == ("sad", "happy", 5.0)
    state.apply(msgspec.structs.replace(emotion(label="sad"), smoothed=Smoothed(UNKNOWN, 0.0)))
    assert (state.message().emotion, state.message().confidence) == (UNKNOWN, None)
