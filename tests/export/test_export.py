"""``edgeser export`` from a checkpoint to an artefact, and what it refuses."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch

from edgeser.errors import UserError
from edgeser.model.artefact import (
    METADATA_KEY,
    ArtefactInfo,
    info_from_metadata,
)
from edgeser.model.model import load_model
from edgeser_export import verify as verify_module
from edgeser_export.calibration import training_pieces
from edgeser_export.graph import onnx_graph
from edgeser_export.onnx_export import export
from edgeser_export.record import Calibration
from edgeser_export.verify import verify
from edgeser_train.evaluation.unknown_voice_calibration import UnknownVoiceCalibration
from edgeser_train.training import checkpoint
from tests.command_line import edgeser
from tests.export.models import RELEASE, small
from tests.train.synthetic import make_manifest


def info_of(path: Path) -> ArtefactInfo:
    graph = onnx.load(path)
    return info_from_metadata({p.key: p.value for p in graph.metadata_props}, path)


def test_from_a_corpus_to_an_artefact(tiny_run: Path, tmp_path: Path) -> None:
    path = tmp_path / "tiny.onnx"
    report = tiny_run / "loso" / "report" / "report.json"
    done = edgeser("export", tiny_run / "model.pt", "--report", report, "-o", path)
    assert done.exit_code == 0, done.output
    assert "differs from PyTorch by at most" in done.output
    assert "batch" in done.output
    info = info_of(path)
    assert info.name == "tiny"
    assert info.labels == ["angry", "happy", "neutral", "sad"]
    assert info.training.corpora == ["emodb"]
    assert info.training.licence == "CC0-1.0"
    assert info.training.protocol == "loso, test part, 2 of 10 folds, pooled"
    figures = msgspec.json.decode(report.read_bytes())
    assert info.training.wa.value == pytest.approx(figures["wa"]["value"])
    assert info.temperature == pytest.approx(figures["temperature"])
    assert info.abstain_below == pytest.approx(figures["abstain_below"])
    assert len(info.golden) >= 3
    running = load_model(str(path))
    assert running.verify() < 1e-5
    session = ort.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    assert [i.name for i in session.get_inputs()] == [t.name for t in info.inputs]


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


def test_the_name_of_a_file_is_the_models_whatever_its_bytes(
    tiny_run: Path, tmp_path: Path
) -> None:
    path = tmp_path / os.fsdecode(b"caf\xe9 noir.onnx")
    words = ["export", str(tiny_run / "model.pt"), "-o", str(path)]
    subprocess.run([sys.executable, "-m", "edgeser", *words], check=True)
    assert info_of(path).name == "caf\\xe9 noir"
    assert load_model(str(path)).verify() < 1e-5


def test_integers_are_calibrated_on_what_trained_the_model(
    tiny_run: Path, emodb: Path, tmp_path: Path
) -> None:
    path, model = tmp_path / "int8.onnx", tiny_run / "loso" / "03.pt"
    words = ("--precision", "int8", "--calibrate", f"emodb={emodb}", "-o", path)
    done = edgeser("export", model, *words)
    assert done.exit_code == 0, done.output
    assert info_of(path).precision == "int8"
    checked = edgeser("export", model, "--check", path, "--sounds", emodb, "--seed", 3)
    assert checked.exit_code == 0, checked.output
    assert "--seed 3" in checked.output
    _, origin = checkpoint.load(model)
    assert not [name for name in origin.trained_on if name.startswith("03")]
    stranger = msgspec.structs.replace(origin, trained_on=["another"])
    with pytest.raises(UserError, match="on no utterance of this corpus emodb"):
        training_pieces([f"emodb={emodb}"], stranger, 3)


def test_integers_are_calibrated_on_one_of_two_merged_corpora(tiny_run: Path, emodb: Path) -> None:
    _, origin = checkpoint.load(tiny_run / "loso" / "03.pt")
    both = msgspec.structs.replace(
        origin,
        corpora=["emodb", "mine"],
        trained_on=[f"emodb:{name}" for name in origin.trained_on],
    )
    alone, merged = (training_pieces([f"emodb={emodb}"], o, 3) for o in (origin, both))
    assert len(alone) == len(merged) == 64
    assert all(np.array_equal(a, b) for a, b in zip(alone, merged, strict=True))


def test_integers_are_not_calibrated_on_a_corpus_with_equal_names(
    tiny_run: Path, tmp_path: Path
) -> None:
    _, origin = checkpoint.load(tiny_run / "model.pt")
    manifest = make_manifest(tmp_path)
    mine, other = (
        msgspec.structs.replace(origin, corpora=[name], trained_on=["0.wav", "1.wav"])
        for name in ("mine", "other")
    )
    assert len(training_pieces([f"manifest={manifest}"], mine, 3)) == 2
    with pytest.raises(UserError, match=r"trained on other, and on no utterance of .* mine"):
        training_pieces([f"manifest={manifest}"], other, 3)


def test_metadata_is_the_contract(artefact: Path) -> None:
    graph = onnx.load(artefact)
    assert {p.key for p in graph.metadata_props} == {METADATA_KEY}
    assert [o.version for o in graph.opset_import] == [17]
    shape = [d.dim_param or d.dim_value for d in graph.graph.input[0].type.tensor_type.shape.dim]
    assert shape == info_of(artefact).inputs[0].shape == ["batch", "frames", 128]


def test_a_graph_that_differs_is_refused(
    tiny_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, _ = small("lightweight")
    content = onnx_graph(model).SerializeToString()
    with torch.no_grad():
        model.head[2].bias[1] += 2e-4
    with pytest.raises(UserError, match=r"differs from PyTorch by 2\.0e-04 \(batch 1, 3 frames"):
        verify(content, model)
    monkeypatch.setitem(verify_module.TOLERANCES, "fp32", -1.0)
    done = edgeser("export", tiny_run / "model.pt", "-o", tmp_path / "no.onnx")
    assert done.exit_code == 2
    assert not list(tmp_path.iterdir())


def test_a_graph_that_depends_on_padding_is_refused() -> None:
    model, _ = small("eca-cnn")
    graph = onnx_graph(model)
    (mask,) = [node for node in graph.graph.node if node.op_type == "Where"]
    mask.op_type, mask.input[:] = "Identity", [mask.input[2]]  # lets through what is behind
    with pytest.raises(UserError, match="differs from PyTorch"):
        verify(graph.SerializeToString(), model, longest=100)


def test_what_nothing_could_load_is_not_written(tmp_path: Path) -> None:
    release = replace(RELEASE, calibration=Calibration(own_threshold=1.0))
    with pytest.raises(UserError, match=r"no edgeser could load .*abstain_below") as caught:
        export(*small("lightweight"), tmp_path / "no.onnx", release)
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.iterdir())


def test_temperature_and_threshold_can_be_given(tiny_run: Path, tmp_path: Path) -> None:
    path = tmp_path / "told.onnx"
    report = tiny_run / "loso" / "report" / "report.json"
    words = ("--report", report, "--temperature", "1.5", "--abstain-below", "0.25", "-o", path)
    assert edgeser("export", tiny_run / "model.pt", *words).exit_code == 0
    info = load_model(str(path)).info  # whose golden vectors hold
    assert (info.temperature, info.abstain_below) == (1.5, 0.25)


def test_what_cannot_be_exported_is_one_line(tiny_run: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.onnx"
    model = tiny_run / "model.pt"
    text = tmp_path / "model.pt"
    text.write_text("{}")
    report = tiny_run / "loso" / "report" / "report.json"
    other = tmp_path / "report.json"
    tree = msgspec.json.decode(report.read_bytes())
    tree["recipe"]["epochs"] += 1
    other.write_bytes(msgspec.json.encode(tree))
    strangers = tmp_path / "strangers.json"
    strangers.write_bytes(msgspec.json.encode(UnknownVoiceCalibration(1.5, 1.2, {"sad": 0.5}, 0.0)))
    streams = tmp_path / "streams.pt"
    checkpoint.save(streams, *small("streaming"))
    to_out = ("-o", out)
    unread = ("--precision", "int8", "--calibrate", f"emodb={tmp_path / 'none'}")
    for words, said in [
        ((text, *to_out), "this is something else, not a checkpoint"),
        ((tmp_path / "none.pt", *to_out), "no such file"),
        ((model, "--report", tmp_path / "r.json", *to_out), "no such file"),
        ((model, "--report", other, *to_out), "its recipe is not"),
        ((model,), "either -o"),
        ((model, "-o", model), "an artefact is a .onnx file; name it so"),
        ((model, "--check", text, *to_out), "either -o"),
        ((model, "--check", tmp_path / "none.onnx"), "cannot be read"),
        ((model, "--precision", "int8", *to_out), "--calibrate goes with"),
        ((model, "--calibrate", "emodb=/x", *to_out), "--calibrate goes with"),
        ((model, "--waveform", "--precision", "fp16", *to_out), "needs fp32"),
        ((model, "--seed", "1", *to_out), "go with --check"),
        ((model, "--check", out, "--waveform"), "go with -o"),
        ((model, "--check", out, "--symmetric"), "go with -o"),
        ((model, "--check", out, "--noise", tmp_path), "go with -o"),
        ((model, "--noise-named", "x", *to_out), "go with --noise"),
        ((model, "--check", out, "--name", "x"), "go with -o"),
        ((model, "--check", out, "--release", "2"), "go with -o"),
        ((model, "--strangers", strangers, *to_out), "does not centre by voice"),
        ((model, "--strangers", tmp_path / "none.json", *to_out), "no such file"),
        ((model, "--strangers", text, *to_out), "strangers"),
        ((model, "--strangers", tmp_path, *to_out), "a folder"),
        ((model, "--report", tiny_run, *to_out), "holds no report.json"),
        ((model, "--symmetric", *to_out), "goes with --precision int8"),
        ((model, "--strangers", strangers, *unread, *to_out), "does not centre by voice"),
        ((streams, *unread, *to_out), "exported in fp32 alone"),
    ]:
        done = edgeser("export", *words)
        assert done.exit_code == 2, done.output
        assert said in done.output
        assert done.output.count("\n") == 1
        assert not out.exists()


def test_noise_of_a_batch_is_repeatable() -> None:
    model, _ = small("lightweight")
    content = onnx_graph(model).SerializeToString()
    first, again, other = (verify(content, model, longest=60, seed=s) for s in (1, 1, 2))
    assert first == again
    assert np.isfinite(other.value)
