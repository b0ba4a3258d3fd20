"""What is known of a voice goes from one recording, or one ``Live``, to the next."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from edgeser import EmotionEvent, Live, Recognizer, UserError, Voice, load_model
from edgeser.bench import SPEECH_FILE
from edgeser.features import Baseline
from edgeser.model.golden import waveform
from edgeser.model.model import Model
from edgeser.pcm import Samples
from tests.sounds import silence


@pytest.fixture(scope="module", params=["streaming6", "voices6", "moonshine6"])
def model(request: pytest.FixtureRequest) -> Model:
    return load_model(request.param)


def sound(number: int) -> Samples:
    """A remark or two; it breaks off with the last word."""
    pause = silence(0.8)
    remark = np.concatenate((waveform(number, 1.2), pause))
    return np.tile(remark, 1 + number % 2)[: -len(pause)]


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("voice")
    files = [folder / f"{number}.wav" for number in range(4)]
    for number, file in enumerate(files):
        soundfile.write(file, sound(number), 16_000)
    return files


def heard(model: Model, file: Path, voice: Voice | None = None) -> Voice:
    """What is known after a file."""
    live = Live(model, voice=voice)
    live.push(soundfile.read(file, dtype="int16")[0])
    live.finish()
    return live.voice


def finals(recognizer: Recognizer, file: Path, voice: Voice | None) -> list[dict[str, float]]:
    return [event.scores for event in recognizer.file(file, voice)]


def same(one: Baseline | None, other: Baseline | None) -> bool:
    if one is None or other is None:
        return one is other
    return one.frames == other.frames and np.array_equal(one.mean, other.mean)


def test_each_recording_gets_what_all_others_tell(model: Model, recordings: list[Path]) -> None:
    voices = Recognizer(model).learn(recordings)
    alone = [heard(model, file) for file in recordings]
    for own, voice in enumerate(voices):
        others = [k for k in range(len(recordings)) if k != own]
        frames = [alone[k].spectrum.frames for k in others]
        assert voice.spectrum.frames == sum(frames) > 0
        mean = np.average([alone[k].spectrum.mean for k in others], axis=0, weights=frames)
        np.testing.assert_allclose(voice.spectrum.mean, mean, rtol=1e-5, atol=1e-5)
        said = []
        for k in others:
            known = heard(model, recordings[k], Voice(model.ref.sha256, voices[k].spectrum))
            assert known.logits is not None
            said.append(known.logits)
        assert voice.logits is not None
        frames = [logits.frames for logits in said]
        mean = np.average([logits.mean for logits in said], axis=0, weights=frames)
        np.testing.assert_allclose(voice.logits.mean, mean, rtol=1e-4, atol=1e-4)


def test_the_order_makes_no_difference(model: Model, recordings: list[Path]) -> None:
    recognizer = Recognizer(model)
    forward = recognizer.learn(recordings)
    backward = recognizer.learn(recordings[::-1])[::-1]
    for file, one, other in zip(recordings, forward, backward, strict=True):
        for a, b in zip(
            finals(recognizer, file, one), finals(recognizer, file, other), strict=True
        ):
            assert a == pytest.approx(b, abs=1e-5)
        assert finals(recognizer, file, one) != finals(recognizer, file, None)


def test_a_copy_tells_nothing_of_its_original(
    model: Model, recordings: list[Path], tmp_path: Path
) -> None:
    copy, packed = tmp_path / "copy.wav", tmp_path / "packed.flac"
    copy.write_bytes(recordings[0].read_bytes())
    soundfile.write(packed, sound(0), 16_000)
    recognizer = Recognizer(model)
    without = recognizer.learn(recordings)
    voices = recognizer.learn([copy, *recordings, packed])
    for voice, expected in zip(voices, [without[0], *without, without[0]], strict=True):
        assert same(voice.spectrum, expected.spectrum)
        assert same(voice.logits, expected.logits)


def test_an_event_says_how_much_was_known(recordings: list[Path]) -> None:
    recognizer = Recognizer()
    voice = recognizer.learn(recordings)[0]
    (event,) = recognizer.file(recordings[0], voice)
    assert event.baseline_s == pytest.approx(voice.spectrum.frames * 0.02)


def test_a_recording_alone_is_judged_as_one_of_an_unknown_voice(
    model: Model, recordings: list[Path], tmp_path: Path
) -> None:
    """Others that cannot be read, or hold no speech, tell nothing."""
    quiet, broken = tmp_path / "quiet.wav", tmp_path / "broken.wav"
    soundfile.write(quiet, silence(2.0), 16_000)
    broken.write_bytes(b"RIFF, but no more")
    recognizer = Recognizer(model)
    voices = recognizer.learn([recordings[0], quiet, broken, tmp_path / "missing.wav"])
    unknown = finals(recognizer, recordings[0], None)
    assert finals(recognizer, recordings[0], voices[0]) == unknown
    assert all(voice.spectrum.frames > 0 for voice in voices[1:])
    assert recognizer.learn([]) == []


def test_live_goes_on_with_a_voice_that_was_kept(model: Model, recordings: list[Path]) -> None:
    first = heard(model, recordings[0])
    kept = Voice.from_json(first.to_json())
    assert same(kept.spectrum, first.spectrum)
    assert same(kept.logits, first.logits)
    live = Live(model, voice=kept)
    assert same(live.voice.logits, first.logits), "nothing was heard yet, and nothing is lost"
    events = [*live.push(sound(1)), *live.finish()]
    scores = [e.scores for e in events if isinstance(e, EmotionEvent) and e.kind == "final"]
    assert scores == finals(Recognizer(model), recordings[1], first)
    assert live.voice.spectrum.frames > first.spectrum.frames


def test_a_model_that_learns_no_voices_says_so() -> None:
    with pytest.raises(UserError, match=r"'lightweight-emodb' judges every sentence by itself"):
        Recognizer("lightweight-emodb").learn([SPEECH_FILE])


def test_a_voice_belongs_to_the_model_that_learnt_it(recordings: list[Path]) -> None:
    voice = heard(load_model("voices6"), recordings[0])
    with pytest.raises(ValueError, match="another model has learnt this voice"):
        Live("streaming6", voice=voice)
    streaming = load_model("streaming6")
    few = Baseline(np.zeros(3, np.float32), 5)
    for damaged in (
        Voice(streaming.ref.sha256, few),
        Voice(streaming.ref.sha256, heard(streaming, recordings[0]).spectrum, few),
    ):
        with pytest.raises(ValueError, match="is damaged"):
            Live(streaming, voice=damaged)


def test_what_is_of_another_type_is_refused(recordings: list[Path]) -> None:
    kept = heard(load_model("streaming6"), recordings[0]).to_json()
    with pytest.raises(TypeError, match="expected a Voice, got bytes"):
        Live(voice=kept)  # type: ignore[arg-type]
    recognizer = Recognizer()
    with pytest.raises(TypeError, match="expected a Voice, got list"):
        next(recognizer.file(recordings[0], []))  # type: ignore[arg-type]
    no_lists: list[Any] = [str(recordings[0]), recordings[0], iter(recordings)]
    for paths in no_lists:
        with pytest.raises(TypeError, match="expected a list of paths, got"):
            recognizer.learn(paths)


def test_a_recording_in_memory_is_judged_against_a_voice_like_its_file(
    model: Model, recordings: list[Path]
) -> None:
    recognizer = Recognizer(model)
    voice = recognizer.learn(recordings)[1]
    samples, rate = soundfile.read(recordings[1], dtype="int16")
    in_memory = [event.scores for event in recognizer.samples(samples, rate, voice)]
    assert in_memory == finals(recognizer, recordings[1], voice)
    assert in_memory != finals(recognizer, recordings[1], None)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[]",
        b'{"model": "x"}',
        b'{"model":"x","spectrum":{"mean":[1e99],"frames":1},"logits":null}',
        b'{"model":"x","spectrum":{"mean":[0],"frames":1},"logits":{"mean":[-3e38],"frames":1}}',
        b'{"model":"x","spectrum":{"mean":[1],"frames":-1},"logits":null}',
        b"[" * 100_000,
    ],
)
def test_what_is_no_voice_is_refused(content: bytes) -> None:
    with pytest.raises(ValueError, match="no voice"):
        Voice.from_json(content)
