"""A stream learns how its voice usually sounds, and judges its windows against that."""

from __future__ import annotations

from itertools import pairwise

import msgspec
import numpy as np
import pytest

import edgeser
from edgeser.audio.source import AudioBlock
from edgeser.events.schema import EmotionEvent
from edgeser.hearing import Hearing
from edgeser.losses import Losses
from edgeser.model.model import Model, load_model
from edgeser.pcm import Samples
from edgeser.settings.schema import BaselineSettings, Settings, SpeechSettings
from edgeser.window import Window
from tests.baselines.learner import learner
from tests.sounds import silence, speech

SOUND = np.concatenate((speech(), silence(1.0)))


@pytest.fixture(scope="module", params=["spectra", "a waveform"])
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Model:
    """One that learns voices: how they sound, or only what it says of them."""
    if request.param == "a waveform":
        return load_model("moonshine6")
    return load_model(str(learner(tmp_path_factory.mktemp("model"))))


def finals(hearing: Hearing, sound: Samples) -> list[Window]:
    outputs = hearing.push(AudioBlock(sound, hearing.position, 0.0)) + hearing.finish()
    return [o for o in outputs if isinstance(o, Window) and o.kind == "final"]


def new_hearing(model: Model, *, learn: bool = True) -> Hearing:
    return Hearing("mic", model, SpeechSettings(), Losses(), learn=learn)


def test_the_first_segment_stands_alone_and_teaches_the_next(model: Model) -> None:
    windows = finals(new_hearing(model), SOUND)
    heard = [window.baseline_s for window in windows]
    assert heard[0] == 0.0
    assert all(earlier < later for earlier, later in pairwise(heard))  # type: ignore[operator]


def test_partials_stand_on_what_was_known_when_their_segment_began(model: Model) -> None:
    hearing = new_hearing(model)
    outputs = hearing.push(AudioBlock(SOUND, 0, 0.0)) + hearing.finish()
    known: dict[int, set[float | None]] = {}
    for output in outputs:
        if isinstance(output, Window):
            known.setdefault(output.segment, set()).add(output.baseline_s)
    assert len(known) == 5
    assert all(len(values) == 1 for values in known.values())


def test_without_a_baseline_it_is_what_speech_alone_would_give(model: Model) -> None:
    (first, *_) = finals(new_hearing(model), SOUND)
    (again, *_) = finals(new_hearing(model, learn=False), SOUND)
    np.testing.assert_array_equal(first.speech[0], again.speech[0])


def test_with_learning_off_nothing_is_learned(model: Model) -> None:
    windows = finals(new_hearing(model, learn=False), SOUND)
    assert {window.baseline_s for window in windows} == {0.0}


def test_a_successor_goes_on_with_it_unless_its_frames_are_others(model: Model) -> None:
    hearing = new_hearing(model)
    finals(hearing, SOUND)
    assert hearing.baseline.frames > 0
    assert hearing.successor(model, SpeechSettings()).baseline is hearing.baseline
    other = load_model("lightweight-emodb")
    assert hearing.successor(other, SpeechSettings()).baseline.frames == 0


def test_a_model_that_learns_no_voices_says_so() -> None:
    windows = finals(new_hearing(load_model("lightweight-emodb")), SOUND)
    assert {window.baseline_s for window in windows} == {None}


def test_live_the_recognizer_and_any_cut_agree(model: Model) -> None:
    def described(events: list[EmotionEvent]) -> list[dict[str, object]]:
        return [{"end": e.end, "scores": e.scores, "baseline_s": e.baseline_s} for e in events]

    whole = described(list(edgeser.Recognizer(model).samples(SOUND)))
    blocks = [SOUND[first : first + 700] for first in range(0, len(SOUND), 700)]
    live = described(
        [
            event
            for event in edgeser.Live(model).events(blocks)
            if isinstance(event, EmotionEvent) and event.kind == "final"
        ]
    )
    assert live == whole


def test_the_setting_reaches_the_recognizer(model: Model) -> None:
    settings = msgspec.structs.replace(Settings(), baseline=BaselineSettings(learn=False))
    events = edgeser.Recognizer(model, settings).samples(SOUND)
    assert {event.baseline_s for event in events} == {0.0}
