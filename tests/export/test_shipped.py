"""The artefacts that ship."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest

from edgeser.features.frames import raw_frames
from edgeser.features.pieces import pieces_of
from edgeser.model.artefact import info_from_metadata, model_path
from edgeser.model.golden import waveform
from edgeser.model.model import TOLERANCE, load_model
from edgeser.model.onnx_file import read_onnx
from edgeser.model.unseen import read_unseen
from edgeser.settings.schema import DEFAULT_MODEL
from edgeser_export.verify import network_of

SHIPPED = sorted(model_path(DEFAULT_MODEL).parent.glob("*.onnx"))
REPORTS = Path(__file__).parents[2] / "docs" / "reports"
REPORT = REPORTS / "lightweight-emodb" / "report.json"


def test_the_default_model_is_small_and_hears_voices_that_nobody_trained_on() -> None:
    path = model_path(DEFAULT_MODEL)
    assert path.stat().st_size < 4e6
    graph = onnx.load(path)
    info = info_from_metadata({p.key: p.value for p in graph.metadata_props}, path)
    assert (info.name, info.learns_voices) == (DEFAULT_MODEL, True)
    assert not {"ravdess", "savee", "ased", "turev"} & set(info.training.corpora)
    assert "NC" not in info.training.licence


def test_the_studio_model_is_free_and_as_good_as_its_report() -> None:
    path = model_path("lightweight-emodb")
    assert path.stat().st_size < 5e6
    graph = onnx.load(path)
    info = info_from_metadata({p.key: p.value for p in graph.metadata_props}, path)
    assert info.labels == ["angry", "happy", "neutral", "sad"]
    assert info.training.corpora == ["emodb"]
    assert info.training.licence == "CC0-1.0"
    report = json.loads(REPORT.read_text())
    for figure in ("wa", "ua", "f1"):
        assert getattr(info.training, figure).value == pytest.approx(report[figure]["value"])
    assert info.temperature == pytest.approx(report["temperature"])
    assert info.abstain_below == pytest.approx(report["abstain_below"])


def test_an_export_is_verified_as_the_daemon_runs_it() -> None:
    daemon = load_model("moonshine6")  # its weights are integers, which may be run in two ways
    noise = np.random.default_rng(0)
    width = daemon.info.front_end.width
    features = noise.standard_normal((2, 2 * daemon.info.window.pad_frames, width), np.float32)
    frames = np.array([features.shape[1]] * 2)
    verified = network_of(model_path("moonshine6").read_bytes())(features, frames)
    np.testing.assert_array_equal(verified, daemon.backend.run(features, frames))


def test_together_they_are_small_and_say_their_licence() -> None:
    assert sum(path.stat().st_size for path in SHIPPED) < 15e6
    for path in SHIPPED:
        graph = onnx.load(path)
        info = info_from_metadata({p.key: p.value for p in graph.metadata_props}, path)
        assert info.name == path.stem
        licence = {
            "emodb": "CC0-1.0",
            "emodb7+mesd+crema-d": "ODbL-1.0",
        }["+".join(info.training.corpora)]
        assert info.training.licence == licence


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_the_figures_beside_a_model_are_of_this_file_and_of_its_report(path: Path) -> None:
    content = path.read_bytes()
    unseen = read_unseen(path, hashlib.sha256(content).hexdigest())
    report = json.loads((REPORTS / path.stem / "unseen" / "unseen.json").read_text())
    assert unseen is not None
    info = info_from_metadata(read_onnx(content, path).metadata, path)
    assert not set(unseen.corpora) & set(info.training.corpora)
    assert len(unseen.rows) == len(report["rows"])
    for said, found in zip(unseen.rows, report["rows"], strict=True):
        assert said.known == found["known"]
        assert said.ua4.value == pytest.approx(found["ua4"]["value"])
        assert said.ece == pytest.approx(found["mean"]["ece"])


def test_a_model_says_what_its_data_wants_said() -> None:
    path = model_path("voices6")
    graph = onnx.load(path)
    info = info_from_metadata({p.key: p.value for p in graph.metadata_props}, path)
    assert info.labels == ["angry", "disgusted", "fearful", "happy", "neutral", "sad"]
    assert info.front_end.learns_voices
    assert list(info.training.licences.values()) == ["CC0-1.0", "CC-BY-4.0", "ODbL-1.0"]
    told = " ".join(info.training.attribution)
    assert "CC BY 4.0" in told
    assert "Open Database License" in told


def test_weights_of_others_are_named_and_their_licence_lies_beside() -> None:
    path = model_path("moonshine6")
    assert path.stat().st_size < 4e6
    graph = onnx.load(path)
    info = info_from_metadata({p.key: p.value for p in graph.metadata_props}, path)
    assert info.learns_voices
    assert "Moonshine AI, MIT licence" in info.training.attribution[-1]
    assert "Moonshine AI" in path.with_suffix(".LICENSE").read_text()


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_golden_vectors_hold(path: Path) -> None:
    session = ort.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    metadata = session.get_modelmeta().custom_metadata_map
    info = info_from_metadata(metadata, path)
    if info.streaming is not None:  # block by block, as the runtime itself does it
        assert load_model(path.stem).verify() < TOLERANCE["fp32"]
        return
    for golden in info.golden:
        sound = waveform(golden.seed, golden.seconds)
        frames = raw_frames(sound, info.front_end)
        (features,) = pieces_of(frames, info.front_end, info.window)
        counts = np.array([len(features)])
        (logits,) = session.run(["logits"], {"features": features[None], "frames": counts})
        powers = np.exp(logits[0] / info.temperature)
        np.testing.assert_allclose(
            powers / powers.sum(), golden.scores, atol=TOLERANCE[info.precision]
        )
