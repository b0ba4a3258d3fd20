"""A streaming network in the runtime: each frame is run once, and scores are equal to the bit."""

from __future__ import annotations

import gc
import weakref
from pathlib import Path

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeser.audio.source import AudioBlock
from edgeser.events.schema import EmotionEvent
from edgeser.features import FrameStream
from edgeser.features.baseline import no_baseline
from edgeser.features.frames import raw_frames
from edgeser.features.front_end import Floats
from edgeser.hearing import Hearing
from edgeser.losses import Losses
from edgeser.model.model import Model, load_model
from edgeser.model.track import Span
from edgeser.pcm import SAMPLE_RATE, Samples
from edgeser.pipeline import Pipeline
from edgeser.settings.schema import Settings, SpeechSettings
from edgeser.window import Window
from edgeser_export.onnx_export import export
from edgeser_export.verify import torch_logits
from edgeser_train.models.speech_model import SpeechModel
from tests.cuts import blocks_of, cuts
from tests.export.models import RELEASE, small
from tests.sounds import monologue, speech

TWO = speech()[: 8 * SAMPLE_RATE]
UNBROKEN = SpeechSettings(confirm=False)


@pytest.fixture(scope="module")
def trained() -> SpeechModel:
    return small("streaming")[0]


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("streams") / "streaming.onnx"
    export(*small("streaming"), path, RELEASE)
    return path


@pytest.fixture(scope="module")
def model(file: Path) -> Model:
    return load_model(str(file))


def windows(model: Model, samples: Samples, speech: SpeechSettings | None = None) -> list[Window]:
    speech = speech or SpeechSettings()
    hearing = Hearing("test", model, speech, Losses(), learn=False, clock=lambda: 0.0)
    outputs = hearing.push(AudioBlock(samples, 0, 0.0)) + hearing.finish()
    return [output for output in outputs if isinstance(output, Window)]


def scored(model: Model, windows: list[Window]) -> list[Floats]:
    """One by one, in their order."""
    return [model.scores([window.speech])[0] for window in windows]


def events(model: Model, blocks: list[Samples], speech: SpeechSettings) -> list[EmotionEvent]:
    pipeline = Pipeline("test", model, Settings(speech=speech))
    found, position = [], 0
    for samples in blocks:
        found += pipeline.push(AudioBlock(samples, position, 0.0))
        position += len(samples)
    found += pipeline.finish()
    return [event for event in found if isinstance(event, EmotionEvent)]


class Counting:
    """A backend that counts the blocks it runs, and fails when told to."""

    def __init__(self, model: Model) -> None:
        self._backend = model.backend
        self.rows = self.runs = 0
        self.broken = False

    def step(self, features: Floats, state: Floats) -> tuple[Floats, Floats, Floats]:
        if self.broken:
            raise RuntimeError("no")
        self.rows += len(features)
        self.runs += 1
        return self._backend.step(features, state)

    def __getattr__(self, name: str) -> object:
        return getattr(self._backend, name)


def counted(model: Model) -> tuple[Model, Counting]:
    backend = Counting(model)
    return Model(model.artefact, backend), backend  # type: ignore[arg-type]


@pytest.mark.parametrize("sound", ["two utterances", "no pause"])
def test_a_final_is_the_segment_as_a_whole_and_a_partial_its_span(
    model: Model, trained: SpeechModel, sound: str
) -> None:
    samples = TWO if sound == "two utterances" else monologue(16)
    found = windows(model, samples, UNBROKEN)
    scores = scored(model, found)
    spec, begun = model.info.front_end, {}
    raw = raw_frames(np.pad(samples, (0, SAMPLE_RATE)), spec)
    for window in found:
        begun.setdefault(window.segment, window.start)
    assert {w.kind for w in found} == {"partial", "final"}
    for window, found_scores in zip(found, scores, strict=True):
        start = begun[window.segment] // spec.hop
        features = spec.normalised(raw[start : window.end // spec.hop])
        if window.start // spec.hop == start:
            logits = torch_logits(trained, features[None], np.array([len(features)]))[0]
            expected = np.exp(logits / RELEASE.calibration.temperature)
            expected /= expected.sum()
            np.testing.assert_allclose(found_scores, expected, atol=1e-4)
        else:
            span = window.speech
            assert isinstance(span, Span)
            assert (window.end - window.start) // spec.hop // 5 == span.last - span.first == 30


@given(where=cuts(len(TWO)))
@settings(max_examples=8)
def test_no_split_into_blocks_changes_a_bit(model: Model, where: list[int]) -> None:
    def said(blocks: list[Samples]) -> list[tuple[object, ...]]:
        found = events(model, blocks, SpeechSettings())
        return [(e.kind, e.start, e.end, e.scores) for e in found]

    assert said(blocks_of(TWO, where)) == said([TWO])


@given(data=st.data())
@settings(max_examples=12)
def test_neither_batches_nor_dropped_partials_change_a_bit(
    model: Model, data: st.DataObject
) -> None:
    expected = scored(model, windows(model, TWO))
    found = windows(model, TWO)
    kept = [w.kind == "final" or data.draw(st.booleans()) for w in found]
    other = monologue(4)
    beside = windows(model, other, UNBROKEN)
    for window, keep, row in zip(found, kept, expected, strict=True):
        if not keep:
            continue
        with_it = beside[: data.draw(st.integers(0, 2))]
        beside = beside[len(with_it) :]
        batch = [*(w.speech for w in with_it), window.speech]
        np.testing.assert_array_equal(model.scores(batch)[-1], row)


@pytest.mark.parametrize("hop_s", [0.5, 1.0])
def test_no_block_is_run_twice(model: Model, hop_s: float) -> None:
    counting, backend = counted(model)
    found = windows(counting, monologue(30), SpeechSettings(confirm=False, hop_seconds=hop_s))
    scored(counting, found)
    finals = [w for w in found if w.kind == "final"]
    frames = [(w.end - w.start) // model.info.front_end.hop for w in finals]
    # After a cut the next segment begins anew, and what was heard behind the cut is its own.
    partials = {w.segment: w.end for w in found if w.kind == "partial"}
    beyond = [max(0, partials[w.segment] - w.end) // model.info.front_end.hop for w in finals]
    most = sum(-(-(n + more) // 25) for n, more in zip(frames, beyond, strict=True))
    assert len(finals) >= 4
    assert backend.rows <= most


@pytest.mark.parametrize(("hop_s", "window_s"), [(0.3, 3.0), (0.14, 1.1), (0.5, 0.6), (2.0, 0.4)])
def test_finals_do_not_depend_on_when_partials_are_asked_for(
    model: Model, hop_s: float, window_s: float
) -> None:
    def finals(speech: SpeechSettings) -> list[Floats]:
        found = windows(model, TWO, speech)
        rows = scored(model, found)
        return [row for row, window in zip(rows, found, strict=True) if window.kind == "final"]

    usual = finals(SpeechSettings())
    other = finals(SpeechSettings(hop_seconds=hop_s, window_seconds=window_s))
    assert len(usual) == 2
    np.testing.assert_array_equal(usual, other)


@pytest.mark.parametrize(("hop_s", "window_s"), [(0.5, 3.0), (0.5, 0.6), (0.1, 0.4), (0.3, 1.1)])
def test_a_partial_is_of_its_own_steps(model: Model, hop_s: float, window_s: float) -> None:
    hop = model.info.front_end.hop
    found = windows(model, TWO, SpeechSettings(hop_seconds=hop_s, window_seconds=window_s))
    spans = [w.speech for w in found if w.kind == "partial"]
    lengths = [(w.end - w.start) // hop // 5 for w in found if w.kind == "partial"]
    assert len(spans) > 5
    for span, steps in zip(spans, lengths, strict=True):
        assert isinstance(span, Span)
        assert span.last - span.first == steps


def test_streams_are_run_together(model: Model) -> None:
    counting, backend = counted(model)
    firsts = [windows(counting, monologue(8), UNBROKEN)[0] for _ in range(8)]
    counting.scores([window.speech for window in firsts])
    assert (backend.rows, backend.runs) == (16, 2)


def test_a_window_that_failed_costs_no_other(model: Model) -> None:
    counting, backend = counted(model)
    found = windows(counting, TWO)
    expected = scored(model, windows(model, TWO))
    backend.broken = True
    with pytest.raises(RuntimeError):
        counting.scores([found[0].speech])
    backend.broken = False
    np.testing.assert_array_equal(scored(counting, found[1:]), expected[1:])


def test_nothing_is_kept_of_a_segment_that_is_over(model: Model) -> None:
    hearing = Hearing("test", model, SpeechSettings(), Losses(), clock=lambda: 0.0)
    outputs = hearing.push(AudioBlock(TWO, 0, 0.0))
    tracks = []
    for window in [output for output in outputs if isinstance(output, Window)]:
        model.scores([window.speech])
        assert isinstance(window.speech, Span)
        tracks.append(weakref.ref(window.speech.track))
    outputs.clear()
    hearing.finish()
    del window
    gc.collect()
    assert tracks
    assert not any(track() for track in tracks)


def test_the_shortest_final_is_a_step(model: Model) -> None:
    spec = model.info.front_end
    for samples in (320, 960, 1600, 4000):
        raw = raw_frames(monologue(2)[:samples], spec)
        track = model.segment(0, spec.heard(raw))
        pieces = [spec.normalised(raw)]
        assert np.isfinite(model.scores([track.whole(raw)])).all()  # type: ignore[attr-defined]
        if len(raw) >= 5:
            assert np.isfinite(model.scores([pieces])).all()


def test_a_segment_may_end_long_before_what_was_heard_of_it(model: Model) -> None:
    spec, sound = model.info.front_end, monologue(4)
    frames = FrameStream(spec)
    frames.push(sound, 0)
    segment = model.segment(0, no_baseline(spec.bins))
    long = segment.window(frames, 0, len(sound))
    model.scores([long])
    for count in (1, 5, 24, 25, 26, 99):
        ended = segment.window(frames, 0, count * spec.hop)
        assert isinstance(ended, Span)
        assert (ended.first, ended.last, ended.is_due) == (0, max(1, count // 5), False)
        assert np.isfinite(model.scores([ended])).all()
    np.testing.assert_array_equal(
        model.scores([segment.window(frames, 0, 75 * spec.hop)]),
        model.scores([model.segment(0, no_baseline(spec.bins)).window(frames, 0, 75 * spec.hop)]),
    )


def test_a_layout_must_fit(model: Model) -> None:
    info = model.info
    assert info.streaming is not None
    with pytest.raises(ValueError, match="no multiple"):
        msgspec.structs.replace(info.streaming, block_frames=26)
    front_end = msgspec.structs.replace(info.front_end, normalise="voice")
    with pytest.raises(ValueError, match="onset"):
        msgspec.structs.replace(info, front_end=front_end)
