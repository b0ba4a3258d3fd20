"""Which events a hook runs on, and with which arguments."""

from __future__ import annotations

import msgspec
import pytest

from edgeser.errors import UserError
from edgeser.hooks.trigger import HookThrottle, Trigger, arguments, check_placeholders
from tests.events.helpers import emotion, fault, speech, status


def test_a_final_of_the_label_sure_enough_matches() -> None:
    trigger = Trigger("final", frozenset({"angry"}), above=0.8)
    assert trigger.matches(emotion(label="angry"))
    assert not trigger.matches(emotion(label="happy"))
    assert not trigger.matches(emotion(label="angry", kind="partial"))
    assert not Trigger("final", frozenset({"angry"}), above=0.9).matches(emotion(label="angry"))


def test_other_kinds_of_events_do_not_match() -> None:
    for event in (speech(), fault(), status()):
        assert not Trigger("final").matches(event)
    assert Trigger("fault").matches(fault())
    assert Trigger("speech", state="end").matches(speech(end=3.0))
    assert not Trigger("speech", state="end").matches(speech())
    noise = msgspec.structs.replace(speech(end=3.0), reason="not_speech")
    assert not Trigger("speech", state="end").matches(noise)


def test_streams_are_told_apart() -> None:
    trigger = Trigger("final", streams=frozenset({"kitchen"}))
    assert trigger.matches(emotion(stream="kitchen"))
    assert not trigger.matches(emotion(stream="hall"))


def test_labels_that_the_model_lacks_are_named() -> None:
    now = msgspec.structs.replace(status(), labels=["angry", "happy"])
    trigger = Trigger("final", frozenset({"hapy", "angry", "unknown"}))
    assert trigger.labels_missing(now) == (
        "no label 'hapy' in lightweight-emodb; it has angry, happy"
    )
    assert Trigger("final", frozenset({"angry", "unknown"})).labels_missing(now) is None
    assert trigger.labels_missing(status()) is None, "an older daemon does not say"


def test_streams_of_which_nothing_was_said_are_named() -> None:
    now = msgspec.structs.replace(status(), last_seq={"status.mic": 2, "emotion.mic": 1})
    trigger = Trigger("final", streams=frozenset({"Kueche", "mic"}))
    assert trigger.streams_missing(now) == "no stream 'Kueche' so far; there is mic"
    assert Trigger("final", streams=frozenset({"mic"})).streams_missing(now) is None
    assert Trigger("final").streams_missing(now) is None


def test_a_condition_that_cannot_be_met_is_refused() -> None:
    with pytest.raises(UserError, match="neither label nor confidence"):
        Trigger("speech", frozenset({"angry"}))
    with pytest.raises(UserError, match="--state"):
        Trigger("final", state="end")


def test_the_pace_is_kept_for_each_stream() -> None:
    throttle = HookThrottle(10)
    assert throttle.passes("mic", 0.0)
    assert not throttle.passes("mic", 9.9)
    assert throttle.passes("hall", 9.9)
    assert throttle.passes("mic", 10.0)


def test_fields_are_put_in_as_text_and_never_read_by_a_shell() -> None:
    command = ["say", "{label} {confidence}", "{smoothed}", "{", "{stream}"]
    event = emotion(stream="a; rm -rf /")
    assert arguments(command, event) == [
        "say",
        "happy 0.85",
        '{"label":"happy","since":1.0}',
        "{",
        "a; rm -rf /",
    ]


def test_a_field_that_the_event_does_not_have_is_named() -> None:
    check_placeholders(["{label}", "{}", "{not a name}"], "final")
    with pytest.raises(UserError, match=r"\{mood\}: a final event has no such field; there is"):
        check_placeholders(["say", "{mood}"], "final")
    with pytest.raises(UserError, match="speech"):
        check_placeholders(["{label}"], "speech")
