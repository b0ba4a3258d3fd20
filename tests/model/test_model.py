"""The shipped artefacts, and files that are none."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import msgspec
import numpy as np
import onnx
import pytest

from edgeser.model.artefact import METADATA_KEY, ArtefactError, ArtefactInfo, shipped_models
from edgeser.model.backends.onnxruntime import OnnxRuntime
from edgeser.model.golden import waveform
from edgeser.model.model import Model, load_model
from edgeser.settings.schema import DEFAULT_MODEL


@pytest.fixture(scope="module")
def model() -> Model:
    return load_model()


def rewritten(tmp_path: Path, change: dict[str, object]) -> Path:
    """The default artefact with parts of its description replaced."""
    graph = onnx.load(shipped_models()[DEFAULT_MODEL])
    (entry,) = [p for p in graph.metadata_props if p.key == METADATA_KEY]
    tree = {**msgspec.json.decode(entry.value), **change}
    entry.value = msgspec.json.encode(tree).decode()
    onnx.save(graph, tmp_path / "changed.onnx")
    return tmp_path / "changed.onnx"


def test_the_shipped_models_load_and_are_right() -> None:
    assert DEFAULT_MODEL in shipped_models()
    for name in shipped_models():
        model = load_model(name)
        # What differs in a feature's last bit may be another integer.
        assert model.verify() < (1e-3 if model.info.precision == "int8" else 1e-4)


def test_the_default_model_is_what_it_says(model: Model) -> None:
    assert model.info.labels == ["angry", "disgusted", "fearful", "happy", "neutral", "sad"]
    assert model.info.training.licence == "ODbL-1.0"
    assert model.info.learns_voices
    assert model.artefact.size < 5e6
    assert len(model.ref.sha256) == 64


def test_a_loaded_models_file_is_not_held_in_memory() -> None:
    content = shipped_models()[DEFAULT_MODEL].read_bytes()
    holders = sys.getrefcount(content)
    backend = OnnxRuntime(content, Path("held.onnx"))
    assert sys.getrefcount(content) == holders
    assert backend.inputs


def test_scores_do_not_depend_on_the_batch(model: Model) -> None:
    sounds = [waveform(seed, seconds) for seed, seconds in ((1, 1.0), (2, 2.3), (3, 6.9))]
    windows = [model.pieces(sound) for sound in sounds]
    together = model.scores(windows)
    alone = np.concatenate([model.scores([window]) for window in windows])
    assert together.shape == (3, 6)
    assert np.abs(together - alone).max() < 1e-4
    assert np.allclose(together.sum(axis=1), 1, atol=1e-5)


def test_golden_vectors_catch_a_wrong_mel_table(tmp_path: Path, model: Model) -> None:
    front_end = msgspec.to_builtins(model.info.front_end)
    with pytest.raises(ArtefactError, match="deviates from its golden vectors"):
        load_model(str(rewritten(tmp_path, {"front_end": {**front_end, "f_max": 7600.0}})))


def test_golden_vectors_catch_a_shift_by_one_frame(tmp_path: Path, model: Model) -> None:
    front_end = msgspec.to_builtins(model.info.front_end)
    with pytest.raises(ArtefactError, match="deviates from its golden vectors"):
        load_model(str(rewritten(tmp_path, {"front_end": {**front_end, "lookback": 640}})))


def test_golden_vectors_catch_a_swapped_label_order(tmp_path: Path, model: Model) -> None:
    tree = onnx.load(shipped_models()[DEFAULT_MODEL])
    # The last layer's rows are the labels: swap two of them in the graph.
    for tensor in tree.graph.initializer:
        values = onnx.numpy_helper.to_array(tensor)
        if values.shape[:1] == (6,) and values.ndim <= 2:
            swapped = values[[1, 0, 2, 3, 4, 5]]
            tensor.CopyFrom(onnx.numpy_helper.from_array(swapped, tensor.name))
    onnx.save(tree, tmp_path / "swapped.onnx")
    with pytest.raises(ArtefactError, match="deviates from its golden vectors"):
        load_model(str(tmp_path / "swapped.onnx"))


def centring(prior: int = 6, shift: int = 6) -> dict[str, object]:
    logits = {"prior": [0.0] * prior, "stranger_shift": [0.0] * shift}
    return {**logits, "own_frames": 150, "most_frames": 1000}


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"format": 2}, "bad metadata"),
        ({"labels": ["one"]}, "bad metadata"),
        ({"surprise": 1}, "bad metadata"),
        ({"front_end": {"hop": 0}}, "bad metadata"),
        ({"centring": centring(prior=5)}, "centring: expected a logit for each label"),
        ({"centring": centring(shift=5)}, "centring: expected a logit for each label"),
        ({"window": {"cut": "centre", "frames": 100}}, "streams needs window.cut 'whole'"),
        ({"inputs": []}, "its graph has"),
        ({"streaming": None}, "does not run as its metadata says"),
        (
            {"streaming": {"block_frames": 25, "step_frames": 5, "state": 7}},
            "does not run as its metadata says",
        ),
        ({"labels": ["angry", "sad"], "centring": None}, "golden vectors are not of its 2 labels"),
        (
            {"noise": {"sounds": "rain", "found": 1.0, "mistaken": 0.0}},
            "of its 6 labels and noise",
        ),
    ],
)
def test_a_wrong_description_is_refused(
    tmp_path: Path, change: dict[str, object], complaint: str
) -> None:
    with pytest.raises(ArtefactError, match=complaint):
        load_model(str(rewritten(tmp_path, change)))


def test_files_that_are_no_artefacts_are_refused_in_one_line(tmp_path: Path) -> None:
    whole = shipped_models()[DEFAULT_MODEL].read_bytes()
    bare = onnx.load_from_string(whole)
    del bare.metadata_props[:]
    contents = {
        "empty.onnx": b"",
        "text.onnx": b"hello",
        "truncated.onnx": whole[: len(whole) // 2],
        "bare.onnx": bare.SerializeToString(),
    }
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ArtefactError, match=name) as refusal:
            load_model(str(tmp_path / name))
        assert "\n" not in str(refusal.value)
    with pytest.raises(ArtefactError, match="neither a file nor a shipped model"):
        load_model("no-such-model")


def test_the_description_survives_its_own_json(model: Model) -> None:
    encoded = msgspec.json.encode(model.info)
    assert msgspec.json.decode(encoded, type=ArtefactInfo) == model.info


def test_golden_sounds_never_change() -> None:
    sound = waveform(7, 0.5)
    assert sound.dtype == np.int16
    assert len(sound) == 8000
    expected = [2060, 10637, -2584, 4113]
    assert np.abs(sound[[0, 1000, 4000, 7999]] - expected).max() <= 1


def test_no_telemetry_is_written(tmp_path: Path) -> None:
    subprocess.run(
        [sys.executable, "-c", "import edgeser; edgeser.load_model()"],
        env={"HOME": str(tmp_path), "PATH": "/usr/bin:/bin"},
        check=True,
    )
    assert not [path for path in tmp_path.rglob("*") if "onnx" in path.name.lower()]
