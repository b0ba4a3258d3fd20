"""From a checkpoint to an artefact that ONNX Runtime runs as PyTorch does."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import onnx
import pytest
import torch
from click.testing import CliRunner, Result

from edgeser.cli import main
from edgeser.errors import UserError
from edgeser.features.frames import features_of
from edgeser.model.artefact import METADATA_KEY, ArtefactInfo, info_from_metadata
from edgeser.model.golden import waveform
from edgeser_export import verify as verify_module
from edgeser_export.onnx_export import onnx_graph
from edgeser_export.verify import verify
from edgeser_train import checkpoint
from edgeser_train.models.lightweight import Lightweight, LightweightConfig

ort = pytest.importorskip("onnxruntime")


def edgeser(*words: object) -> Result:
    return CliRunner().invoke(main, [str(word) for word in words])


def info_of(path: Path) -> ArtefactInfo:
    graph = onnx.load(path)
    return info_from_metadata({p.key: p.value for p in graph.metadata_props}, path)


def test_from_a_corpus_to_an_artefact(tiny_run: Path, tmp_path: Path) -> None:
    path = tmp_path / "tiny.onnx"
    report = tiny_run / "loso" / "report" / "report.json"
    done = edgeser("export", tiny_run / "model.pt", "--report", report, "-o", path)
    assert done.exit_code == 0, done.output
    info = info_of(path)
    assert info.name == "tiny"
    assert info.labels == ["angry", "happy", "neutral", "sad"]
    assert info.training.corpora == ["emodb"]
    assert info.training.licence == "CC0-1.0"
    assert info.training.protocol == "loso, test part, pooled"
    figures = msgspec.json.decode(report.read_bytes())
    assert info.training.wa.value == pytest.approx(figures["wa"]["value"])
    assert info.temperature == pytest.approx(figures["temperature"])
    assert info.abstain_below == pytest.approx(figures["abstain_below"])

    session = ort.InferenceSession(str(path))
    assert [i.name for i in session.get_inputs()] == [t.name for t in info.inputs]
    assert len(info.golden) >= 3
    for golden in info.golden:
        features = features_of(waveform(golden.seed, golden.seconds), info.front_end)
        frames = np.array([len(features)])
        (logits,) = session.run(None, {"features": features[None], "frames": frames})
        powers = np.exp(logits[0] / info.temperature)
        np.testing.assert_allclose(powers / powers.sum(), golden.scores, atol=1e-5)


def test_without_a_report_it_says_so(tiny_run: Path, tmp_path: Path) -> None:
    path = tmp_path / "bare.onnx"
    done = edgeser(
        "export", tiny_run / "model.pt", "--name", "plain", "--release", "0.2", "-o", path
    )
    assert done.exit_code == 0, done.output
    info = info_of(path)
    assert (info.name, info.version) == ("plain", "0.2")
    assert info.training.protocol == "not evaluated"
    assert (info.temperature, info.abstain_below) == (1.0, 0.0)


@pytest.mark.parametrize("attention", [True, False])
@pytest.mark.parametrize("blocks", [1, 5])
def test_parity_at_many_lengths_and_batches(blocks: int, attention: bool) -> None:
    torch.manual_seed(blocks)
    model = Lightweight(LightweightConfig(blocks=blocks, attention=attention)).eval()
    content = onnx_graph(model, 128).SerializeToString()
    assert verify(content, model, 128) < 1e-5
    assert len(content) < 4.5e6  # the shared GRU is stored once


def test_a_graph_that_differs_is_refused(
    tiny_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, _ = checkpoint.load(tiny_run / "model.pt")
    content = onnx_graph(model, 128).SerializeToString()
    with torch.no_grad():
        model.head[2].bias[1] += 2e-4
    with pytest.raises(UserError, match=r"differs from PyTorch by 2\.0e-04"):
        verify(content, model, 128)
    monkeypatch.setattr(verify_module, "TOLERANCE", -1.0)
    done = edgeser("export", tiny_run / "model.pt", "-o", tmp_path / "no.onnx")
    assert done.exit_code == 2
    assert not list(tmp_path.iterdir())


def test_what_cannot_be_exported_is_one_line(tiny_run: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.onnx"
    text = tmp_path / "model.pt"
    text.write_text("{}")
    report = tiny_run / "loso" / "report" / "report.json"
    other = tmp_path / "report.json"
    tree = msgspec.json.decode(report.read_bytes())
    tree["recipe"]["epochs"] += 1
    other.write_bytes(msgspec.json.encode(tree))
    for words, said in [
        ((text,), "not of a lightweight model"),
        ((tmp_path / "none.pt",), "no such file"),
        ((tiny_run / "model.pt", "--report", text), "not a report of 'edgeser evaluate'"),
        ((tiny_run / "model.pt", "--report", tmp_path / "r.json"), "no such file"),
        ((tiny_run / "model.pt", "--report", other), "of another recipe"),
    ]:
        done = edgeser("export", *words, "-o", out)
        assert done.exit_code == 2, done.output
        assert said in done.output
        assert "Traceback" not in done.output
        assert not out.exists()


def test_metadata_is_the_contract(tiny_run: Path, tmp_path: Path) -> None:
    path = tmp_path / "meta.onnx"
    assert edgeser("export", tiny_run / "model.pt", "-o", path).exit_code == 0
    graph = onnx.load(path)
    assert {p.key for p in graph.metadata_props} == {METADATA_KEY}
    assert [o.version for o in graph.opset_import] == [17]
    shape = [d.dim_param or d.dim_value for d in graph.graph.input[0].type.tensor_type.shape.dim]
    assert shape == info_of(path).inputs[0].shape == ["batch", "frames", 128]
