"""An event says all that is known of its window, and the state outlives new settings."""

from __future__ import annotations

from collections import deque
from dataclasses import replace
from typing import Literal

import msgspec
import numpy as np
import pytest

from edgeser.audio.source import AudioBlock
from edgeser.decider import Decider
from edgeser.errors import UserError
from edgeser.events.schema import Latency
from edgeser.features.baseline import Baseline
from edgeser.features.front_end import Floats
from edgeser.hearing import Hearing
from edgeser.losses import Losses
from edgeser.model.centring import Centring, LogitBaseline
from edgeser.model.model import Model, load_model
from edgeser.model.network import Answer
from edgeser.pcm import SAMPLE_RATE
from edgeser.settings.schema import DecisionSettings, SpeechSettings
from edgeser.window import Window
from tests.sounds import speech

MODEL = load_model()
LABELS = MODEL.info.labels
ANGRY, *_, SAD = np.eye(len(LABELS), dtype=np.float32)


def answer(scores: Floats, model: Model = MODEL, noise: float | None = None) -> Answer:
    """One that gives such scores of a voice of which nothing is known."""
    sure: Floats = np.log(np.maximum(scores, np.float32(1e-9))) * model.info.temperature
    shift = np.array(model.info.stranger_shift or [0.0] * len(scores))
    return Answer((sure - shift).astype(np.float32), noise)


def first_final() -> Window:
    hearing = Hearing("test", MODEL, SpeechSettings(), Losses(), clock=lambda: 100.0)
    outputs = hearing.push(AudioBlock(speech()[: 8 * SAMPLE_RATE], 5 * SAMPLE_RATE, 13.0))
    return next(o for o in outputs if isinstance(o, Window) and o.kind == "final")


WINDOW = first_final()


def test_an_event_says_all_it_should() -> None:
    losses = Losses()
    decider = Decider(DecisionSettings(), losses, clock=lambda: 100.0)
    losses.add(windows=2)
    event = decider.decide(WINDOW, MODEL.answers([WINDOW.speech])[0], WINDOW.ready_at)
    assert event.stream == "test"
    assert event.start == WINDOW.start / SAMPLE_RATE
    assert event.end == WINDOW.end / SAMPLE_RATE
    assert event.label in [*LABELS, "unknown"]
    assert sum(event.scores.values()) == pytest.approx(1, abs=1e-5)
    assert event.confidence == max(event.scores.values())
    assert event.lost.windows == 2
    assert event.model == MODEL.ref
    assert 0.5 < event.quality.speech_ratio <= 1
    assert event.quality.clipped_ratio == 0
    assert event.quality.snr_db > 20
    assert event.latency_ms.capture == pytest.approx((100 - WINDOW.captured_at) * 1000)


def test_what_was_lost_is_told_once() -> None:
    losses = Losses()
    decider = Decider(DecisionSettings(), losses)
    losses.add(samples=320)
    assert decider.decide(WINDOW, answer(ANGRY), 0.0).lost.samples == 320
    assert decider.decide(WINDOW, answer(ANGRY), 0.0).lost.samples == 0


def test_where_the_time_went_adds_up() -> None:
    decider = Decider(DecisionSettings(), Losses(), clock=lambda: 10.015)
    window = replace(WINDOW, captured_at=10.0, arrived_at=10.001, cut_at=10.003, ready_at=10.006)
    told = decider.decide(window, answer(ANGRY), 10.010).latency_ms
    assert told == Latency(1.0, 2.0, 3.0, 4.0, 5.0, publish=0.0, total=15.0)


def test_the_smoothed_state_goes_on_under_new_settings() -> None:
    decider = Decider(DecisionSettings(), Losses())
    state = [decider.decide(WINDOW, answer(ANGRY), 0.0).smoothed for _ in range(20)][-1]
    assert state.label == LABELS[0]
    decider.renew(DecisionSettings(smoothing_weight=1.0, smoothing_margin=0.0), 0)
    later = replace(WINDOW, end=WINDOW.end + SAMPLE_RATE)
    assert decider.decide(later, answer(ANGRY), 0.0).smoothed == state
    assert decider.decide(later, answer(SAD), 0.0).smoothed.label == LABELS[-1]


def test_new_settings_count_from_the_next_segment_on() -> None:
    decider = Decider(DecisionSettings(abstain_below=0.0), Losses())
    unsure = ANGRY * 0.2 + 0.8 / len(LABELS)
    assert decider.decide(WINDOW, answer(unsure), 0.0).label == LABELS[0]
    decider.renew(DecisionSettings(abstain_below=0.9), WINDOW.segment)
    waited = decider.decide(WINDOW, answer(unsure), 0.0)
    assert waited.label == LABELS[0]
    later = replace(WINDOW, segment=WINDOW.segment + 1)
    assert decider.decide(later, answer(unsure), 0.0).label == "unknown"


def test_a_model_with_other_labels_begins_a_state_of_its_own() -> None:
    decider = Decider(DecisionSettings(smoothing_weight=1.0), Losses())
    assert decider.decide(WINDOW, answer(ANGRY), 0.0).smoothed.label == LABELS[0]
    other = Model(
        replace(
            MODEL.artefact,
            info=msgspec.structs.replace(MODEL.info, labels=["calm", "tense"], centring=None),
        ),
        MODEL.backend,
    )
    window = replace(WINDOW, model=other)
    even = np.array([0.5, 0.5], np.float32)
    assert decider.decide(window, answer(even, other), 0.0).smoothed.label == "unknown"
    event = decider.decide(window, answer(np.array([0.1, 0.9], np.float32), other), 0.0)
    assert (event.label, event.smoothed.label) == ("tense", "tense")
    assert list(event.scores) == ["calm", "tense"]


def test_noise_is_unknown_and_moves_no_state() -> None:
    decider = Decider(DecisionSettings(smoothing_weight=1.0), Losses())
    speech = decider.decide(WINDOW, answer(ANGRY, noise=0.5), 0.0)
    assert (speech.label, speech.quality.noise_probability) == (LABELS[0], 0.5)
    noise = decider.decide(WINDOW, answer(SAD, noise=0.7512345), 0.0)
    assert (noise.label, noise.quality.noise_probability) == ("unknown", 0.7512)
    assert noise.scores[LABELS[-1]] > 0.99
    assert noise.smoothed.label == LABELS[0]
    assert WINDOW.quality.noise_probability is None


@pytest.mark.parametrize(("above", "label"), [(0.8, LABELS[0]), (1.0, LABELS[0]), (0.6, "unknown")])
def test_how_sure_of_noise_a_model_must_be_is_a_setting(above: float, label: str) -> None:
    decider = Decider(DecisionSettings(noise_above=above), Losses())
    assert decider.decide(WINDOW, answer(ANGRY, noise=0.7), 0.0).label == label


def test_a_model_that_does_not_know_noise_says_nothing_of_it() -> None:
    event = Decider(DecisionSettings(), Losses()).decide(WINDOW, answer(ANGRY), 0.0)
    assert event.quality == WINDOW.quality


def test_valence_and_arousal_are_where_the_scores_lie_on_the_circumplex() -> None:
    scores = np.array([label == "angry" for label in LABELS], np.float32)
    event = Decider(DecisionSettings(), Losses()).decide(WINDOW, answer(scores), 0.0)
    assert (event.valence, event.arousal) == pytest.approx((-0.51, 0.59))


def test_a_model_can_be_restricted_to_some_of_its_labels() -> None:
    model = load_model(labels=["sad", "angry"])
    assert model.labels == ["angry", "sad"]
    scores = model.scores([WINDOW.speech])[0]
    whole = MODEL.scores([WINDOW.speech])[0][[LABELS.index("angry"), LABELS.index("sad")]]
    np.testing.assert_allclose(scores, whole / whole.sum(), atol=1e-5)
    window = replace(WINDOW, model=model)
    given = model.answers([WINDOW.speech])[0]
    event = Decider(DecisionSettings(), Losses()).decide(window, given, 0.0)
    assert list(event.scores) == ["angry", "sad"]
    assert event.smoothed.label in ("angry", "sad", "unknown")


@pytest.mark.parametrize(
    ("labels", "told"),
    [(["angry", "jealous"], "does not know 'jealous'"), (["sad"], "'sad' alone")],
)
def test_labels_that_make_no_sense_are_refused(labels: list[str], told: str) -> None:
    with pytest.raises(UserError, match=told):
        load_model(labels=labels)


CENTRED = Model(
    replace(
        MODEL.artefact,
        info=msgspec.structs.replace(
            MODEL.info, centring=Centring([0.0] * len(LABELS), own_frames=100, most_frames=1000)
        ),
    ),
    MODEL.backend,
)


def said(
    decider: Decider,
    segment: int,
    kind: Literal["partial", "final"] = "final",
    noise: float | None = None,
) -> float:
    """The score of the first label, in a window whose logits always speak for it."""
    window = replace(WINDOW, model=CENTRED, segment=segment, kind=kind)
    return decider.decide(window, Answer(ANGRY * 2, noise), 0.0).scores[LABELS[0]]


def test_a_label_that_a_voice_always_gets_becomes_less_likely() -> None:
    decider = Decider(DecisionSettings(), Losses())
    scores = [said(decider, segment) for segment in range(5)]
    assert scores == sorted(scores, reverse=True)
    assert scores[0] > scores[1] > scores[4] > 1 / len(LABELS)


def test_a_model_is_more_confident_with_a_known_voice() -> None:
    centring = Centring([0.5, 0.0, 0.0], own_frames=100, most_frames=1000, known_scale=3.0)
    plain = msgspec.structs.replace(centring, known_scale=1.0)
    logits = np.array([1.0, 0.5, -1.0], np.float32)
    said = [
        (c.centred(logits, Baseline(np.ones(3, np.float32), frames)), frames)
        for frames in (0, 100, 900)
        for c in (centring, plain)
    ]
    for (scaled, frames), (unscaled, _) in zip(said[::2], said[1::2], strict=True):
        known = frames / (frames + 100)
        np.testing.assert_allclose(scaled, unscaled * (1 + 2 * known), rtol=1e-5)


def test_a_voice_whose_usual_logits_are_the_prior_is_judged_as_if_unknown() -> None:
    prior = np.array([0.5, 0.0, -1.0], np.float32)
    centring = Centring(prior.tolist(), own_frames=100, most_frames=1000)
    logits = np.array([1.0, 0.5, -1.0], np.float32)
    np.testing.assert_allclose(centring.centred(logits, Baseline(prior, 900)), logits)


def test_the_shift_of_a_stranger_fades_as_the_voice_gets_known() -> None:
    plain = Centring([0.5, 0.0, 0.0], own_frames=100, most_frames=1000)
    centring = msgspec.structs.replace(plain, stranger_shift=[0.0, -0.5, 1.0])
    logits = np.array([1.0, 0.5, -1.0], np.float32)
    for frames, share in ((0, 1.0), (100, 0.5), (900, 0.1)):
        usual = Baseline(np.ones(3, np.float32), frames)
        moved = centring.centred(logits, usual) - plain.centred(logits, usual)
        np.testing.assert_allclose(moved, share * np.array([0.0, -0.5, 1.0]), atol=1e-6)


def test_a_segment_is_judged_by_what_was_usual_when_it_began() -> None:
    decider = Decider(DecisionSettings(), Losses())
    first = said(decider, 1)
    assert said(decider, 1, "partial") == first  # one that had waited
    assert said(decider, 2, "partial") == said(decider, 2) < first


def test_nothing_is_learnt_from_partials_or_with_learning_off() -> None:
    decider = Decider(DecisionSettings(), Losses())
    fixed = Decider(DecisionSettings(), Losses(), learn=False)
    assert said(decider, 1, "partial") == said(decider, 2, "partial")
    assert said(fixed, 1) == said(fixed, 2)


def test_noise_teaches_nothing_of_the_voice() -> None:
    decider = Decider(DecisionSettings(), Losses())
    first = said(decider, 1, noise=0.9)
    assert said(decider, 2, noise=0.1) == first
    assert said(decider, 3) < first


@pytest.mark.parametrize("spoilt", [np.nan, np.inf])
def test_logits_that_are_no_numbers_are_refused_and_teach_nothing(spoilt: float) -> None:
    decider = Decider(DecisionSettings(smoothing_weight=1.0), Losses())
    first = said(decider, 1, "partial")
    window = replace(WINDOW, model=CENTRED)
    given = Answer(np.full(len(LABELS), spoilt, np.float32), None)
    with pytest.raises(UserError, match="logits that are no numbers"):
        decider.decide(window, given, 0.0)
    assert said(decider, 2) == first
    assert decider.decide(window, answer(SAD), 0.0).smoothed.label == LABELS[-1]


def test_what_is_adopted_counts_from_the_next_segment_on() -> None:
    decider = Decider(DecisionSettings(), Losses(), learn=False)
    first = said(decider, 1, "partial")
    decider.adopt(LogitBaseline(CENTRED.ref.sha256, Baseline(ANGRY * 2, 900)))
    assert decider.is_adopting
    assert said(decider, 1) == first
    assert not decider.is_adopting
    assert said(decider, 2) < first
    decider.adopt(None)
    assert said(decider, 3) == first


def test_what_is_adopted_is_known_before_it_waits_no_more() -> None:
    decider = Decider(DecisionSettings(), Losses(), learn=False)
    adopted = LogitBaseline(CENTRED.ref.sha256, Baseline(ANGRY * 2, 900))
    known = []

    class Watched(deque[LogitBaseline | None]):
        def popleft(self) -> LogitBaseline | None:
            known.append(decider.logit_baseline(adopted.model))
            return super().popleft()

    decider._adoptions = Watched()
    decider.adopt(adopted)
    said(decider, 1)
    assert known == [adopted]


def test_nothing_is_known_of_a_voice_before_its_first_final() -> None:
    decider = Decider(DecisionSettings(), Losses())
    said(decider, 1, "partial")
    said(decider, 1, noise=0.9)
    assert decider.logit_baseline(CENTRED.ref.sha256) is None
    said(decider, 2)
    usual = decider.logit_baseline(CENTRED.ref.sha256)
    assert usual is not None
    hop = CENTRED.info.front_end.hop
    assert usual.logits.frames == (WINDOW.end - WINDOW.start) // hop


def test_what_another_model_said_of_a_voice_counts_for_nothing() -> None:
    decider = Decider(DecisionSettings(), Losses(), learn=False)
    first = said(decider, 1)
    decider.adopt(LogitBaseline("another", Baseline(ANGRY * 2, 900)))
    assert said(decider, 2) == first


def test_what_was_adopted_for_the_next_model_outlives_the_last_windows_of_the_one_before() -> None:
    decider = Decider(DecisionSettings(), Losses(), learn=False)
    other = replace(WINDOW, segment=1)  # of a model with no name in common
    adopted = LogitBaseline(CENTRED.ref.sha256, Baseline(ANGRY * 2, 900))
    fresh = said(Decider(DecisionSettings(), Losses(), learn=False), 2)
    decider.adopt(adopted)
    decider.decide(other, Answer(ANGRY * 2, None), 0.0)
    assert decider.logit_baseline(CENTRED.ref.sha256) is adopted
    assert said(decider, 2) < fresh
