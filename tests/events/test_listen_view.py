"""The live view fits every terminal and shows what matters."""

from __future__ import annotations

import time

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rich.console import Console, ConsoleDimensions

from edgeser.cli.listen_state import ListenState
from edgeser.cli.listen_view import LABEL_STYLES, bar, view
from edgeser.errors import UserError
from edgeser.events.schema import Event
from edgeser.events.sequence import Gap
from edgeser.events.subscribe.subscriber import Received
from edgeser.model.affect import COORDINATES

from .helpers import emotion, fault, level, speech, status

ITEMS: list[Received] = [
    status(),
    speech(1),
    emotion(1, "partial"),
    speech(1, end=4.2),
    emotion(1, "final", label="sad"),
    level(),
    status(stream="kitchen"),
    fault("a message that is much too long for a line of any terminal " * 4),
    Gap("emotion.mic", "a", 3, 5),
    emotion(2, "final", stream="kitchen", label="a very long label that no model has"),
    speech(3, stream="kitchen"),
]


def now_published(item: Received) -> Received:
    if isinstance(item, Event):
        return msgspec.structs.replace(item, time=time.time(), epoch="a")
    return item


def screen(state: ListenState, width: int = 80, height: int = 24, now: float = 1.0) -> list[str]:
    """What a terminal of this size shows, at most."""
    console = Console(width=width, height=height, color_system=None)
    drawn = view(state, ConsoleDimensions(width, height), now)
    lines = console.render_lines(drawn, pad=False)
    return ["".join(segment.text for segment in line) for line in lines]


def shown(*items: Received, now: float = 1.0, width: int = 80, height: int = 24) -> str:
    state = ListenState("ipc:///run/edgeser/events.sock", now=0.0)
    for item in items:
        state.apply(now_published(item), 0.5)
    return "\n".join(screen(state, width, height, now))


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.sampled_from(ITEMS), max_size=30), st.integers(60, 160), st.integers(20, 60))
def test_it_fits_the_terminal_whatever_came(items: list[Received], width: int, height: int) -> None:
    lines = shown(*items, width=width, height=height).splitlines()
    assert len(lines) <= height
    assert max(map(len, lines)) <= width


@pytest.mark.parametrize(("width", "height"), [(10, 5), (40, 10), (1, 1)])
def test_a_tiny_terminal_does_no_harm(width: int, height: int) -> None:
    shown(*ITEMS, width=width, height=height)


def test_it_says_that_it_waits() -> None:
    text = shown(now=7.0)
    assert "waiting for a daemon" in text
    assert "7 s" in text
    assert "ipc:///run/edgeser/events.sock" in text


def test_it_says_why_nothing_comes_when_that_has_lasted() -> None:
    state = ListenState("ipc:///x", now=0.0)
    state.trouble = UserError("nothing publishes there yet", "look elsewhere")
    assert "nothing publishes" not in "\n".join(screen(state, now=1.0))
    text = "\n".join(screen(state, now=4.0))
    assert "nothing publishes there yet" in text
    assert "look elsewhere" in text


def test_it_shows_stream_state_model_and_backend() -> None:
    text = shown(status())
    for part in ("mic", "listening", "lightweight-emodb 1.0.0", "onnxruntime/CPU", "00:00:10"):
        assert part in text


def test_each_stream_has_its_state_and_its_meter() -> None:
    kitchen = msgspec.structs.replace(status(stream="kitchen"), state="no_audio", frame_age_s=9.0)
    text = shown(status(), kitchen, level())
    assert "mic: listening" in text
    assert "-46 dBFS" in text
    assert "kitchen: no audio  no sound for 9 s" in text


def test_it_says_when_the_daemon_is_gone() -> None:
    assert "no daemon for 9 s" in shown(status(), now=9.6)
    assert "no daemon for 9 s" in shown(emotion(), now=9.6), "a status would have come since"


def test_a_status_that_was_not_asked_for_is_shown_and_does_not_count() -> None:
    state = ListenState("ipc:///x", now=0.0, topics=["emotion."])
    state.apply(now_published(emotion()), 1.0)
    state.apply(now_published(status()), 5.0)
    assert "listening" in "\n".join(screen(state, now=6.0))
    assert state.events == 1
    assert state.silent_s(6.0) == 5.0


def test_an_open_segment_has_a_running_clock_and_an_ended_one_its_length() -> None:
    assert "segment 7 · 2.0 s" in shown(speech(7), now=2.5)
    assert "segment 7 · 3.2 s" in shown(speech(7), speech(7, end=4.2), now=100.0)


def test_a_partial_shows_its_label_scores_and_latency() -> None:
    text = shown(speech(1), emotion(1, "partial"))
    assert "HAPPY" in text
    assert "partial" in text
    for label in ("angry", "happy", "neutral", "sad"):
        assert f"│ {label}" in text


def test_finals_are_listed_newest_first_as_many_as_fit() -> None:
    finals = [emotion(n, label="sad" if n % 2 else "angry") for n in range(1, 101)]
    text = shown(*finals)
    rows = [line for line in text.splitlines() if "2.5 s" in line and "segment" not in line]
    numbers = [int(row.split()[2]) for row in rows]
    assert len(numbers) >= 5
    assert numbers == list(range(100, 100 - len(numbers), -1))


@pytest.mark.parametrize("width", [60, 70, 80, 100])
def test_a_final_shows_its_confidence_on_a_narrow_terminal(width: int) -> None:
    lines = shown(emotion(1, "final", label="disgusted"), width=width, height=30).splitlines()
    (final,) = [line for line in lines if " 2.5 s  disgusted " in line]
    assert " 85% " in final
    assert "…" not in final


def test_a_stream_may_have_any_name() -> None:
    finals = [emotion(n, stream=name) for n, name in enumerate(("[red]", "[/x]"))]
    text = shown(*finals)
    assert " [red] " in text
    assert " [/x] " in text


def test_a_fault_and_a_loss_are_shown() -> None:
    text = shown(status(), fault("the cable is out"), Gap("emotion.mic", "a", 3, 5))
    assert "audio_lost" in text
    assert "the cable is out" in text
    assert "3 missed" in text


def test_a_fault_is_shown_for_a_minute_of_the_daemons_clock() -> None:
    state = ListenState("ipc:///x", 0.0)
    for event, at in ((status(), 1000.0), (fault("the cable is out"), 1001.0)):
        state.apply(msgspec.structs.replace(event, epoch="a", seq=1, time=at), 0.0)
    assert "the cable is out" in "".join(screen(state))
    state.apply(msgspec.structs.replace(status(), epoch="a", seq=2, time=1062.0), 0.0)
    assert "the cable is out" not in "".join(screen(state))


def test_a_final_does_not_hide_the_segment_that_has_begun_meanwhile() -> None:
    assert "segment 2" in shown(speech(1), speech(1, end=3.0), speech(2), emotion(1, "final"))


def test_another_daemon_counts_its_segments_anew() -> None:
    state = ListenState("ipc:///x", now=0.0)
    state.apply(msgspec.structs.replace(emotion(12), epoch="a"), 0.1)
    state.apply(msgspec.structs.replace(emotion(1), epoch="b"), 0.2)
    assert state.segment is not None
    assert state.segment.number == 1


@settings(deadline=None)
@given(st.floats(-1, 2), st.integers(0, 50))
def test_a_bar_has_its_width_and_grows_with_its_share(share: float, width: int) -> None:
    assert len(bar(share, width)) == width
    assert bar(0, width).strip() == ""
    assert bar(1, width) == "█" * width


def test_every_label_that_corpora_share_has_a_colour() -> None:
    assert LABEL_STYLES.keys() >= COORDINATES.keys()
