"""The artefacts that ship."""

from __future__ import annotations

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
from edgeser.model.model import TOLERANCE
from edgeser.settings.schema import DEFAULT_MODEL

SHIPPED = sorted(model_path(DEFAULT_MODEL).parent.glob("*.onnx"))
REPORT = Path(__file__).parents[2] / "docs" / "reports" / "lightweight-emodb" / "report.json"


def test_the_default_model_is_small_free_and_as_good_as_its_report() -> None:
    path = model_path(DEFAULT_MODEL)
    assert path.stat().st_size < 5e6
    graph = onnx.load(path)
    info = info_from_metadata({p.key: p.value for p in graph.metadata_props}, path)
    assert info.name == DEFAULT_MODEL
    assert info.labels == ["angry", "happy", "neutral", "sad"]
    assert info.training.corpora == ["emodb"]
    assert info.training.licence == "CC0-1.0"
    report = json.loads(REPORT.read_text())
    for figure in ("wa", "ua", "f1"):
        assert getattr(info.training, figure).value == pytest.approx(report[figure]["value"])
    assert info.temperature == pytest.approx(report["temperature"])
    assert info.abstain_below == pytest.approx(report["abstain_below"])


def test_together_they_are_small_and_say_their_licence() -> None:
    assert sum(path.stat().st_size for path in SHIPPED) < 15e6
    for path in SHIPPED:
        graph = onnx.load(path)
        info = info_from_metadata({p.key: p.value for p in graph.metadata_props}, path)
        assert info.name == path.stem
        free = "ravdess4" not in info.training.corpora
        assert info.training.licence == ("CC0-1.0" if free else "CC-BY-NC-SA-4.0")
        assert free == (info.name != "lightweight-research")


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_golden_vectors_hold(path: Path) -> None:
    session = ort.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    metadata = session.get_modelmeta().custom_metadata_map
    info = info_from_metadata(metadata, path)
    for golden in info.golden:
        sound = waveform(golden.seed, golden.seconds)
        frames = raw_frames(sound, info.front_end)
        (features,) = pieces_of(frames, info.front_end, info.window)
        counts = np.array([len(features)])
        (logits,) = session.run(None, {"features": features[None], "frames": counts})
        powers = np.exp(logits[0] / info.temperature)
        np.testing.assert_allclose(
            powers / powers.sum(), golden.scores, atol=TOLERANCE[info.precision]
        )
