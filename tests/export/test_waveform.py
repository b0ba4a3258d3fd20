"""The variant that takes a waveform hears what the front end hears."""

from __future__ import annotations

import shutil
from pathlib import Path

import msgspec
import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch
from click.testing import CliRunner
from torch import Tensor

from edgeser.cli import main
from edgeser.errors import UserError
from edgeser.features import FrontEnd, WindowPolicy
from edgeser.features.frames import features_of, raw_frames
from edgeser.features.pieces import pieces_of
from edgeser.model.artefact import WAVEFORM_KEY, ArtefactError, shipped_models
from edgeser.model.golden import waveform
from edgeser.model.model import load_model
from edgeser.recognizer import Recognizer
from edgeser_export.graph import onnx_graph
from edgeser_export.onnx_export import export_waveform
from edgeser_export.verify import torch_logits
from edgeser_export.waveform import Frames, WaveformFrontEnd
from edgeser_export.waveform_export import waveform_of_artefact
from edgeser_export.waveform_graph import least_frames
from edgeser_export.waveform_info import WaveformInfo
from tests.export.models import RELEASE, SPECTRAL, small
from tests.features.front_ends import FRONT_ENDS
from tests.sounds import SPEECH_SEGMENTS, speech

SPECTRA = {name: spec for name, spec in FRONT_ENDS.items() if spec.spectral}
WAYS = ("none", "peak", "level", "speech", "voice", "onset", "half_speech", "mean", "mean_var")


def batch(spec: FrontEnd) -> tuple[list[np.ndarray], Tensor, Tensor]:
    """Two sounds, and the same as one padded batch with noise after the shorter one."""
    sounds = [waveform(5, 1.6), waveform(6, 1.03)]
    rows = np.full((2, spec.history + len(sounds[0])), 0.4, np.float32)
    for row, sound in zip(rows, sounds, strict=True):
        row[: spec.history] = 0
        row[spec.history : spec.history + len(sound)] = sound / np.float32(32768)
    return sounds, torch.from_numpy(rows), torch.tensor([len(s) // spec.hop for s in sounds])


@pytest.mark.parametrize("name", SPECTRA)
def test_frames_are_within_a_thousandth_of_a_decibel(name: str) -> None:
    spec = SPECTRA[name]
    sounds, rows, frames = batch(spec)
    found = Frames(spec)(rows).numpy()
    for row, sound, count in zip(found, sounds, frames, strict=True):
        expected = raw_frames(sound, spec)
        audible = expected > expected.max() - 80
        assert len(expected) == count
        assert np.abs(row[:count] - expected)[audible].max() < (
            5e-3 if spec.kind == "linear" else 1e-3
        )


@pytest.mark.parametrize(
    "spec", [*SPECTRA.values(), *(FrontEnd(mels=40, normalise=way) for way in WAYS)]
)
def test_features_are_those_of_the_front_end(spec: FrontEnd) -> None:
    sounds, rows, frames = batch(spec)
    found, counts = WaveformFrontEnd(spec, WindowPolicy())(rows, frames)
    assert counts.tolist() == frames.tolist()
    for row, sound, count in zip(found.numpy(), sounds, frames, strict=True):
        np.testing.assert_allclose(row[:count], features_of(sound, spec), atol=1e-3)


def test_a_shorter_piece_is_filled_up_inside_the_graph() -> None:
    spec = SPECTRA["eca-cnn-v8"]
    policy = WindowPolicy(cut="centre", frames=181, fill=True)
    sounds, rows, frames = batch(spec)
    found, counts = WaveformFrontEnd(spec, policy)(rows, frames)
    assert counts.tolist() == [181, 181]
    for row, sound in zip(found.numpy(), sounds, strict=True):
        (expected,) = pieces_of(raw_frames(sound, spec), spec, policy)
        np.testing.assert_allclose(row, expected, atol=1e-3)


@pytest.mark.parametrize("name", SPECTRAL)
def test_any_onnx_runtime_goes_from_waveform_to_probabilities(name: str, tmp_path: Path) -> None:
    model, origin = small(name)
    path = tmp_path / "waveform.onnx"
    assert export_waveform(model, origin, path, RELEASE).value < 1e-4
    session = ort.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    info = info_of(session)
    assert [i.name for i in session.get_inputs()] == [t.name for t in info.inputs]
    golden = info.golden[0]
    sound = waveform(golden.seed, golden.seconds)
    step = info.hop * info.window.pad_frames
    rows = np.full((1, info.history + -(-len(sound) // step) * step), 0.2, np.float32)
    rows[0, : info.history] = 0
    rows[0, info.history : info.history + len(sound)] = sound / np.float32(32768)
    count = np.array([len(sound) // info.hop])
    scores, logits = session.run(None, {"waveform": rows, "frames": count})
    np.testing.assert_allclose(scores[0], golden.scores, atol=1e-3)
    spec = origin.recipe.front_end
    features = np.zeros((1, (rows.shape[1] - info.history) // info.hop, spec.width), np.float32)
    features[0, : count[0]] = features_of(sound, spec)
    np.testing.assert_allclose(logits, torch_logits(model, features, count), atol=1e-2, rtol=1e-4)
    with pytest.raises(ArtefactError, match="it takes a waveform"):
        load_model(str(path))


def test_what_no_graph_can_hear_is_refused(tmp_path: Path) -> None:
    model, origin = small("wavlm-sap")
    with pytest.raises(UserError, match="hears the waveform itself"):
        export_waveform(model, origin, tmp_path / "no.onnx", RELEASE)
    assert not list(tmp_path.iterdir())


def test_convolutions_are_two_dimensional_and_as_long_as_the_window(tmp_path: Path) -> None:
    model, origin = small("lightweight")
    export_waveform(model, origin, tmp_path / "w.onnx", RELEASE)
    graph = onnx.load(tmp_path / "w.onnx").graph
    shapes = {t.name: list(t.dims) for t in graph.initializer}
    convolutions = [shapes[n.input[1]] for n in graph.node if n.op_type == "Conv"]
    assert {len(shape) for shape in convolutions} == {4}
    assert any(shape[1:] == [1, 1, 640] for shape in convolutions)


@pytest.fixture(scope="module")
def shipped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The default's front end in front of its network, made of the shipped file alone."""
    path = tmp_path_factory.mktemp("shipped") / "waveform.onnx"
    assert waveform_of_artefact("lightweight-emodb", path).value < 1e-4
    return path


def info_of(session: ort.InferenceSession) -> WaveformInfo:
    said = session.get_modelmeta().custom_metadata_map[WAVEFORM_KEY]
    return msgspec.json.decode(said, type=WaveformInfo)


def test_a_shipped_model_hears_the_waveform_as_predict_does(shipped: Path) -> None:
    """Its segments lie anywhere in the sound, so what was before each of them counts."""
    session = ort.InferenceSession(str(shipped), providers=["CPUExecutionProvider"])
    info = info_of(session)
    before = np.zeros(info.history, np.float32)
    sound = np.concatenate((before, speech().astype(np.float32) / 32768))
    segments = list(Recognizer("lightweight-emodb").samples(speech()))
    assert len(segments) == SPEECH_SEGMENTS
    for segment in segments:
        start, end = (round(at * info.sample_rate) for at in (segment.start, segment.end))
        count = (end - start) // info.hop
        given = {"waveform": sound[None, start : end + info.history], "frames": np.array([count])}
        scores = session.run(["probabilities"], given)[0][0]
        np.testing.assert_allclose(scores, list(segment.scores.values()), atol=1e-3)


def test_to_the_graph_every_voice_is_unknown(tmp_path: Path) -> None:
    """A model that centres by voice says of the first segment what the graph says of any."""
    waveform_of_artefact("voices6", tmp_path / "waveform.onnx")
    session = ort.InferenceSession(str(tmp_path / "waveform.onnx"))
    info = info_of(session)
    assert info.stranger_shift
    first = next(iter(Recognizer("voices6").samples(speech())))
    start, end = (round(at * info.sample_rate) for at in (first.start, first.end))
    sound = np.concatenate((np.zeros(info.history, np.float32), speech().astype(np.float32)))
    given = {
        "waveform": sound[None, start : end + info.history] / np.float32(32768),
        "frames": np.array([(end - start) // info.hop]),
    }
    scores = session.run(["probabilities"], given)[0][0]
    np.testing.assert_allclose(scores, list(first.scores.values()), atol=1e-3)


@pytest.mark.parametrize("frames", [0, -1, 2, 101, 2**40, (100, 0)])
def test_frames_that_the_sound_does_not_have_are_refused(
    shipped: Path, frames: int | tuple[int, int]
) -> None:
    session = ort.InferenceSession(str(shipped), providers=["CPUExecutionProvider"])
    info = info_of(session)
    counts = np.atleast_1d(np.array(frames, np.int64))
    rows = np.zeros((len(counts), info.history + 100 * info.hop), np.float32)
    wanted = rf"frames must be {info.min_frames} to \(samples - 480\) / 160, at most 700"
    with pytest.raises(Exception, match=wanted):
        session.run(None, {"waveform": rows, "frames": counts})
    long = np.zeros((1, info.history + 701 * info.hop), np.float32)
    with pytest.raises(Exception, match=wanted):
        session.run(None, {"waveform": long, "frames": np.array([701])})
    scores = session.run(None, {"waveform": rows[:1], "frames": np.array([info.min_frames])})[0]
    assert np.isfinite(scores).all()


@pytest.mark.parametrize("sample", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("at", [0, 8_000, -1])
def test_samples_that_are_no_numbers_are_refused(shipped: Path, sample: float, at: int) -> None:
    """Anywhere: in the history, in the piece, and in what follows it."""
    session = ort.InferenceSession(str(shipped), providers=["CPUExecutionProvider"])
    info = info_of(session)
    rows = np.zeros((2, info.history + 100 * info.hop), np.float32)
    rows[1, at] = sample
    with pytest.raises(Exception, match="waveform must have no NaN and no infinity"):
        session.run(None, {"waveform": rows, "frames": np.array([100, 60])})


def test_silence_and_full_scale_have_finite_scores(shipped: Path) -> None:
    session = ort.InferenceSession(str(shipped), providers=["CPUExecutionProvider"])
    for sound in (np.zeros(480 + 16_000), np.ones(480 + 16_000), np.full(480 + 16_000, -40.0)):
        given = {"waveform": sound[None].astype(np.float32), "frames": np.array([100])}
        scores = session.run(["probabilities"], given)[0][0]
        assert scores.sum() == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("name", ["lightweight", "eca-cnn"])
def test_the_fewest_frames_are_found_in_the_graph(name: str) -> None:
    model, origin = small(name)
    found = least_frames(onnx_graph(model), len(model.mean), origin.recipe.window.pad_frames)
    assert found == model.min_frames


def test_integers_get_no_front_end(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="lightweight-emodb-int8 is int8"):
        waveform_of_artefact("lightweight-emodb-int8", tmp_path / "no.onnx")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("more", [(), ("--waveform", "--name", "other")])
def test_an_artefact_is_not_exported_again(more: tuple[str, ...], tmp_path: Path) -> None:
    words = ["export", "lightweight-emodb", *more, "-o", str(tmp_path / "no.onnx")]
    done = CliRunner().invoke(main, words)
    assert done.exit_code == 2
    assert "lightweight-emodb is an artefact already" in done.stderr
    assert not list(tmp_path.iterdir())


def test_an_artefact_is_not_replaced_by_its_waveform(tmp_path: Path) -> None:
    artefact = tmp_path / "model.onnx"
    shutil.copy(shipped_models()["lightweight-emodb"], artefact)
    before = artefact.read_bytes()
    done = CliRunner().invoke(main, ["export", str(artefact), "--waveform", "-o", str(artefact)])
    assert done.exit_code == 2
    assert "name another file" in done.stderr
    assert artefact.read_bytes() == before
