"""Live sound of a program's own, without a daemon."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import soxr

import edgeser
from edgeser.model.artefact import shipped_models
from edgeser.pcm import Samples, as_floats
from edgeser.pipeline import Heard
from tests.patience import PATIENCE_S
from tests.sounds import SPEECH_SEGMENTS, silence, speech

MODEL = edgeser.load_model()
SOUND = np.concatenate((speech(), silence(1.0)))
HALF = len(SOUND) // 2


def blocks_of(sound: Samples, length: int) -> list[Samples]:
    return [sound[first : first + length] for first in range(0, len(sound), length)]


def timeless(event: Heard) -> dict[str, object]:
    """What does not depend on when it was computed."""
    fields: dict[str, object] = msgspec.to_builtins(event)
    return {name: value for name, value in fields.items() if name not in ("time", "latency_ms")}


def all_events(length: int) -> list[dict[str, object]]:
    live = edgeser.Live(MODEL)
    return [timeless(event) for event in live.events(blocks_of(SOUND, length))]


def test_events_of_all_kinds_come_while_the_sound_is_pushed() -> None:
    live = edgeser.Live(MODEL, stream="desk")
    heard = [event for block in blocks_of(SOUND, 1600) for event in live.push(block)]
    heard += live.finish()
    kinds = [event.kind for event in heard if isinstance(event, edgeser.EmotionEvent)]
    assert kinds.count("final") == SPEECH_SEGMENTS
    assert "partial" in kinds
    states = [event.state for event in heard if isinstance(event, edgeser.SpeechEvent)]
    assert states == ["start", "end"] * SPEECH_SEGMENTS
    assert {event.stream for event in heard} == {"desk"}
    assert all(event.time > 1.7e9 for event in heard)


def test_how_the_sound_is_cut_into_blocks_changes_nothing() -> None:
    whole = all_events(len(SOUND))
    assert all_events(320) == whole
    assert all_events(1237) == whole


def test_it_says_what_the_recognizer_says() -> None:
    finals = [timeless(event) for event in edgeser.Recognizer(MODEL).samples(SOUND)]
    live = [event for event in all_events(800) if event.get("kind") == "final"]
    for event in finals + live:
        del event["stream"]
    assert live == finals


def test_the_recognizer_gives_a_segment_before_it_hears_the_next() -> None:
    sound = SOUND.copy()
    segments = edgeser.Recognizer(MODEL).samples(sound)
    next(segments)
    sound[:] = 0
    assert list(segments) == []


def test_floats_of_another_rate_with_two_channels() -> None:
    wide = soxr.resample(as_floats(SOUND), 16_000, 44_100).astype(np.float32)
    stereo = np.stack((wide, wide), axis=1)
    finals = list(edgeser.Recognizer(MODEL).samples(stereo, rate=44_100))
    expected = list(edgeser.Recognizer(MODEL).samples(SOUND))
    assert len(finals) == len(expected)
    for ours, theirs in zip(finals, expected, strict=True):
        assert abs(ours.start - theirs.start) <= 0.04
        assert abs(ours.end - theirs.end) <= 0.04


def test_float64_and_float32_are_heard_alike() -> None:
    floats = as_floats(SOUND)
    single, double = (
        [timeless(event) for event in edgeser.Recognizer(MODEL).samples(sound)]
        for sound in (floats, floats.astype(np.float64))
    )
    assert single == double


@pytest.mark.parametrize("kind", [">i2", ">f4"])
def test_either_byte_order_is_heard_alike(kind: str) -> None:
    sound = SOUND if kind == ">i2" else as_floats(SOUND)
    ours, theirs = (
        [timeless(event) for event in edgeser.Recognizer(MODEL).samples(samples)]
        for samples in (sound.astype(kind), sound)
    )
    assert ours == theirs


def test_asyncio_gets_the_same_events_and_is_not_held_up() -> None:
    async def blocks() -> AsyncIterator[Samples]:
        for block in blocks_of(SOUND, 3200):
            yield block

    async def heard() -> list[dict[str, object]]:
        return [timeless(event) async for event in edgeser.Live(MODEL).aevents(blocks())]

    assert asyncio.run(heard()) == all_events(3200)


def test_a_task_that_is_cancelled_leaves_a_stream_that_can_be_finished(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    whole = edgeser.Live(MODEL)
    whole.push(SOUND[:HALF])
    expected = [timeless(event) for event in whole.finish()]
    assert expected
    model = edgeser.load_model()
    answers, in_push, go_on = model.answers, threading.Event(), threading.Event()

    def held_up(*given: Any) -> Any:
        in_push.set()
        go_on.wait(PATIENCE_S)
        return answers(*given)

    async def blocks() -> AsyncIterator[Samples]:
        yield SOUND[:HALF]

    async def cancelled() -> None:
        task = asyncio.ensure_future(anext(live.aevents(blocks())))
        await asyncio.to_thread(in_push.wait, PATIENCE_S)
        task.cancel()
        await asyncio.wait([task])
        finishing.start()
        finishing.join(0.2)
        go_on.set()

    monkeypatch.setattr(model, "answers", held_up)
    live = edgeser.Live(model)
    heard: list[Heard] = []
    finishing = threading.Thread(target=lambda: heard.extend(live.finish()))
    asyncio.run(cancelled())
    finishing.join(PATIENCE_S)
    assert [timeless(event) for event in heard] == expected


def test_what_is_no_sound_is_refused() -> None:
    live = edgeser.Live(MODEL)
    with pytest.raises(ValueError, match="expected int16 or floats, got int32"):
        live.push(np.zeros(100, np.int32))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="channels"):
        live.push(np.zeros((2, 3, 4), np.float32))
    live.push(np.zeros((100, 2), np.float32))
    with pytest.raises(ValueError, match="expected shape"):
        live.push(np.zeros((100, 1), np.float32))
    with pytest.raises(ValueError, match="rate"):
        edgeser.Live(MODEL, rate=0)


@pytest.mark.parametrize("sound", [SOUND, np.stack([SOUND, SOUND], axis=1)])
def test_an_array_is_no_blocks(sound: Any) -> None:
    with pytest.raises(ValueError, match=r"got one array of shape \([^)]+\); give \[samples\], or"):
        list(edgeser.Live(MODEL).events(sound))


@pytest.mark.parametrize(
    ("sound", "told"),
    [
        (np.stack([SOUND, SOUND]), r"looks like \(channels, n\); give samples.T"),
        (SOUND.astype(np.float32), "full scale at 1, got [0-9]+; divide by 32768"),
    ],
)
def test_sound_with_axes_or_scale_mistaken_is_refused(sound: Any, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        list(edgeser.Live(MODEL).events([sound]))
    with pytest.raises(ValueError, match=told):
        list(edgeser.Recognizer(MODEL).samples(sound))


def test_floats_that_clip_or_are_no_numbers_are_heard() -> None:
    live = edgeser.Live(MODEL)
    assert live.push(np.array([1.5, -2.0, np.nan, np.inf, -np.inf], np.float32)) == []
    assert live.push(np.zeros(100, np.int16)) == []  # the scale of each block is its type's


@pytest.mark.parametrize("sound", [[0.1], b"abc", "x", None])
def test_what_is_no_array_is_a_type_error(sound: Any) -> None:
    with pytest.raises(TypeError, match="expected a NumPy array"):
        edgeser.Live(MODEL).push(sound)
    with pytest.raises(TypeError, match="expected a NumPy array"):
        list(edgeser.Recognizer(MODEL).samples(sound, rate=48_000))


@pytest.mark.parametrize("type_", [np.int16, np.float32])
def test_an_array_with_a_mask_is_a_type_error(type_: type) -> None:
    sound = np.ma.masked_array(np.zeros(100, type_), mask=True)
    with pytest.raises(TypeError, match=r"without a mask; give samples\.filled\(0\)"):
        edgeser.Live(MODEL).push(sound)


@pytest.mark.parametrize("make", [edgeser.Live, edgeser.Recognizer])
def test_what_is_no_model_and_no_settings_is_a_type_error(make: Any) -> None:
    with pytest.raises(TypeError, match="expected a model, its name or its file, got int"):
        make(5)
    with pytest.raises(TypeError, match="expected Settings, got dict"):
        make(MODEL, {"model": {}})


@pytest.mark.parametrize("make", [edgeser.Live, edgeser.Recognizer])
def test_a_models_file_may_be_a_path(make: Any) -> None:
    file = shipped_models()["lightweight-emodb"]
    for given in (file, str(file)):
        assert make(given).model.artefact.path == file
    with pytest.raises(edgeser.UserError, match=r"model 'none\.onnx': neither a file nor"):
        make(Path("none.onnx"))


@pytest.mark.parametrize("rate", [0, -1, float("nan"), float("inf"), 44_100.5, "16000", 1e300])
def test_what_is_no_rate_is_refused(rate: Any) -> None:
    with pytest.raises(ValueError, match="expected a rate"):
        edgeser.Live(MODEL, rate=rate)


def test_after_the_end_there_is_nothing_more() -> None:
    live = edgeser.Live(MODEL)
    live.push(SOUND)
    live.finish()
    assert live.finish() == []
    with pytest.raises(ValueError, match="has ended"):
        live.push(SOUND)


def test_no_sound_at_all_is_no_event() -> None:
    live = edgeser.Live(MODEL)
    assert live.push(np.zeros(0, np.int16)) == []
    assert live.finish() == []
