"""``edgeser export`` from a checkpoint to an artefact, and what it refuses."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch
from click.testing import CliRunner, Result

from edgeser.cli import main
from edgeser.errors import UserError
from edgeser.model.artefact import (
    METADATA_KEY,
    ArtefactError,
    ArtefactInfo,
    info_from_metadata,
    model_path,
)
from edgeser.model.model import load_model
from edgeser_export import verify as verify_module
from edgeser_export.calibration import training_pieces
from edgeser_export.graph import onnx_graph
from edgeser_export.onnx_export import export
from edgeser_export.verify import verify
from edgeser_train.evaluation.unknown_voice_calibration import UnknownVoiceCalibration
from edgeser_train.training import checkpoint
from tests.export.models import RELEASE, small
from tests.train.synthetic import make_manifest


def edgeser(*words: object) -> Result:
    return CliRunner().invoke(main, [str(word) for word in words])


def info_of(path: Path) -> ArtefactInfo:
    graph = onnx.load(path)
    return info_from_metadata({p.key: p.value for p in graph.metadata_props}, path)


@pytest.fixture(scope="module")
def artefact(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of a small lightweight model with random weights."""
    path = tmp_path_factory.mktemp("artefact") / "small.onnx"
    export(*small("lightweight"), path, RELEASE)
    return path


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


def test_a_graph_that_looks_at_padding_is_refused() -> None:
    model, _ = small("eca-cnn")
    graph = onnx_graph(model)
    (mask,) = [node for node in graph.graph.node if node.op_type == "Where"]
    mask.op_type, mask.input[:] = "Identity", [mask.input[2]]  # lets through what is behind
    with pytest.raises(UserError, match="differs from PyTorch"):
        verify(graph.SerializeToString(), model, longest=100)


def changed(path: Path, tmp_path: Path, change: Callable[[dict[str, Any]], None]) -> Path:
    """The artefact with its metadata changed."""
    graph = onnx.load(path)
    tree = msgspec.json.decode(graph.metadata_props[0].value)
    change(tree)
    graph.metadata_props[0].value = msgspec.json.encode(tree).decode()
    onnx.save(graph, tmp_path / "changed.onnx")
    return tmp_path / "changed.onnx"


FAULTS: dict[str, Callable[[dict[str, Any]], None]] = {
    "another mel table": lambda tree: tree["front_end"].update(mel_scale="htk"),
    "swapped labels": lambda tree: [golden["scores"].reverse() for golden in tree["golden"]],
    "one frame later": lambda tree: tree["front_end"].update(lookback=320),
    "another normalisation": lambda tree: tree["front_end"].update(normalise="level"),
    "another cut": lambda tree: tree["window"].update(cut="centre", frames=60),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_golden_vectors_catch(fault: str, tmp_path: Path) -> None:
    path = changed(model_path("lightweight-emodb"), tmp_path, FAULTS[fault])
    with pytest.raises(ArtefactError, match="drifts from its golden vectors") as caught:
        load_model(str(path))
    assert "\n" not in str(caught.value)


def test_golden_vectors_catch_swapped_outputs(tmp_path: Path) -> None:
    graph = onnx.load(model_path("lightweight-emodb"))
    head = [node for node in graph.graph.node if node.op_type == "Gemm"][-1]
    for tensor in graph.graph.initializer:
        if tensor.name in head.input[1:]:
            values = onnx.numpy_helper.to_array(tensor)[[1, 0, 2, 3]]
            tensor.CopyFrom(onnx.numpy_helper.from_array(values, tensor.name))
    onnx.save(graph, tmp_path / "swapped.onnx")
    with pytest.raises(ArtefactError, match="drifts from its golden vectors"):
        load_model(str(tmp_path / "swapped.onnx"))


def test_damaged_files_are_refused_in_one_line(
    artefact: Path, tiny_run: Path, tmp_path: Path
) -> None:
    content = artefact.read_bytes()
    foreign = onnx.load(artefact)
    del foreign.metadata_props[:]
    for name, damaged in (
        ("truncated", content[: len(content) // 2]),
        ("empty", b""),
        ("text", b"not a graph at all"),
        ("no metadata", foreign.SerializeToString()),
    ):
        path = tmp_path / f"{name}.onnx"
        path.write_bytes(damaged)
        for words in (("predict", "--model", path, "x.wav"), ("--check",)):
            if words[0] == "--check":
                words = ("export", tiny_run / "model.pt", "--check", path)
            done = edgeser(*words)
            assert done.exit_code == 2, (name, done.output)
            assert done.output.count("\n") == 1, done.output


def test_check_tells_an_artefact_from_another(
    tiny_run: Path, emodb: Path, artefact: Path, tmp_path: Path
) -> None:
    model, path = tiny_run / "model.pt", tmp_path / "mine.onnx"
    assert edgeser("export", model, "-o", path).exit_code == 0
    done = edgeser("export", model, "--check", path, "--sounds", emodb)
    assert done.exit_code == 0, done.output
    assert "differs from the checkpoint by at most" in done.output
    assert "--seed" in done.output
    other = edgeser("export", tiny_run / "loso" / "03.pt", "--check", path)
    assert other.exit_code == 2
    assert "the ONNX graph differs from PyTorch" in other.output
    swapped = changed(path, tmp_path, lambda tree: tree["labels"].reverse())
    relabelled = edgeser("export", model, "--check", swapped)
    assert relabelled.exit_code == 2
    assert "labels: it says" in relabelled.output
    sound = tmp_path / "w.onnx"
    assert edgeser("export", model, "--waveform", "-o", sound).exit_code == 0
    heard = edgeser("export", model, "--check", sound, "--sounds", next(emodb.glob("*.wav")))
    assert heard.exit_code == 0, heard.output


LIES: dict[str, Callable[[dict[str, Any]], None]] = {
    "corpora: it says ['ravdess4']": lambda tree: tree["training"].update(corpora=["ravdess4"]),
    "licence: it says CC-BY-4.0": lambda tree: tree["training"].update(licence="CC-BY-4.0"),
    "date: it says 1999-12-31": lambda tree: tree["training"].update(date="1999-12-31"),
    "commit: it says deadbeef": lambda tree: tree["training"].update(commit="deadbeef"),
    "precision: it says int8": lambda tree: tree.update(precision="int8"),
    "golden vectors": lambda tree: tree["golden"].pop(),
    "ua: it says": lambda tree: tree["training"]["ua"].update(value=0.99),
    "protocol: it says loso": lambda tree: tree["training"].update(
        protocol="loso, test part, pooled"
    ),
    "temperature: it says 2.5": lambda tree: tree.update(temperature=2.5),
    "threshold: it says 0.9": lambda tree: tree.update(abstain_below=0.9),
}


@pytest.fixture(scope="module")
def evaluated(tiny_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An artefact with the figures of the toy's report."""
    path = tmp_path_factory.mktemp("evaluated") / "evaluated.onnx"
    report = tiny_run / "loso" / "report" / "report.json"
    done = edgeser("export", tiny_run / "model.pt", "--report", report, "-o", path)
    assert done.exit_code == 0, done.output
    return path


@pytest.mark.parametrize("said", LIES)
def test_check_tells_what_is_not_true_of_a_file(
    said: str, tiny_run: Path, evaluated: Path, tmp_path: Path
) -> None:
    report = tiny_run / "loso" / "report" / "report.json"
    lying = changed(evaluated, tmp_path, LIES[said])
    done = edgeser("export", tiny_run / "model.pt", "--check", lying, "--report", report)
    assert done.exit_code == 2
    assert said in done.output
    assert done.output.count("\n") == 1


def test_check_says_what_it_cannot_compare(tiny_run: Path, evaluated: Path, tmp_path: Path) -> None:
    words = ("export", tiny_run / "model.pt", "--check")
    report = tiny_run / "loso" / "report" / "report.json"
    whole = edgeser(*words, evaluated, "--report", report)
    assert (whole.exit_code, "not compared" in whole.output) == (0, False), whole.output
    without = edgeser(*words, evaluated)
    assert (without.exit_code, "not compared" in without.output) == (0, True), without.output
    bare = tmp_path / "bare.onnx"
    assert edgeser("export", tiny_run / "model.pt", "-o", bare).exit_code == 0
    unsure = changed(bare, tmp_path, lambda tree: tree.update(abstain_below=0.5))
    assert (
        "threshold: it says 0.5, an export with these options 0.0" in edgeser(*words, unsure).output
    )


def test_check_takes_the_options_that_the_file_was_exported_with(
    tiny_run: Path, evaluated: Path, tmp_path: Path
) -> None:
    model, path = tiny_run / "model.pt", tmp_path / "told.onnx"
    told = ("--temperature", "0.8", "--abstain-below", "0.25")
    assert edgeser("export", model, *told, "-o", path).exit_code == 0
    same = edgeser("export", model, "--check", path, *told)
    assert (same.exit_code, "not compared" in same.output) == (0, False), same.output
    for others in ((), (*told, "--temperature", "0.9")):
        done = edgeser("export", model, "--check", path, *others)
        assert (done.exit_code, done.output.count("\n")) == (2, 1)
        assert "temperature: it says 0.8" in done.output
        assert "give the --report, --strangers, --temperature" in done.output
    hotter = edgeser("export", model, "--check", evaluated, "--temperature", "7")
    assert "an export with these options 7.0" in hotter.output


CENTRED_OTHERWISE: dict[str, Callable[[dict[str, Any]], None]] = {
    "prior": lambda tree: tree["centring"].update(prior=[5.0, -5.0, 0.0, 0.0]),
    "own_frames": lambda tree: tree["centring"].update(own_frames=1),
    "most_frames": lambda tree: tree["centring"].update(most_frames=1),
    "known_scale": lambda tree: tree["centring"].update(known_scale=3.0),
    "stranger_shift": lambda tree: tree["centring"].update(stranger_shift=[]),
    "centred by voice": lambda tree: tree.update(centring=None),
}


def test_check_compares_how_logits_are_centred(tmp_path: Path) -> None:
    model, origin = small("lightweight", "voices")
    checkpoint.save(tmp_path / "model.pt", model, origin)
    strangers = tmp_path / "strangers.json"
    shift = dict(zip(origin.labels, (0.5, -0.25, 0.1, 0.0), strict=True))
    strangers.write_bytes(msgspec.json.encode(UnknownVoiceCalibration(1.5, 1.25, shift, 0.3)))
    path, words = tmp_path / "centred.onnx", ("export", tmp_path / "model.pt")
    of_strangers = ("--strangers", strangers)
    made = edgeser(*words, *of_strangers, "-o", path)
    assert made.exit_code == 0, made.output
    same = edgeser(*words, *of_strangers, "--check", path)
    assert (same.exit_code, "not compared" in same.output) == (0, False), same.output
    without = edgeser(*words, "--check", path)
    assert (without.exit_code, "temperature: it says 1.5" in without.output) == (2, True)
    for field, change in CENTRED_OTHERWISE.items():
        done = edgeser(*words, *of_strangers, "--check", changed(path, tmp_path, change))
        assert (done.exit_code, done.output.count("\n")) == (2, 1), done.output
        assert f"{field}: it says" in done.output


def test_what_nothing_could_load_is_not_written(tmp_path: Path) -> None:
    release = replace(RELEASE, abstain_below=1.0)
    with pytest.raises(UserError, match=r"nothing could load .*abstain_below") as caught:
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
    to_out = ("-o", out)
    for words, said in [
        ((text, *to_out), "this is something else, not a checkpoint"),
        ((tmp_path / "none.pt", *to_out), "no such file"),
        ((model, "--report", tmp_path / "r.json", *to_out), "no such file"),
        ((model, "--report", other, *to_out), "of another recipe"),
        ((model,), "either -o"),
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
        ((model, "--symmetric", *to_out), "goes with --precision int8"),
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
