"""Half precision and integers: smaller graphs of the same scores."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest

from edgeser.errors import UserError
from edgeser.features.frames import features_of
from edgeser.features.front_end import Floats
from edgeser.model.artefact import Precision
from edgeser.model.golden import waveform
from edgeser.model.model import load_model
from edgeser_export import sensitivity
from edgeser_export.graph import onnx_graph
from edgeser_export.onnx_export import export
from edgeser_export.quantise import Quantiser, half
from edgeser_export.sensitivity import logits_of, measured
from edgeser_export.variants import Ratio, Timing, verdict
from tests.export.models import RELEASE, SPECTRAL, small


def pieces(count: int = 6) -> list[Floats]:
    spec = small("lightweight")[1].recipe.front_end
    return [features_of(waveform(20 + i, 1.1), spec) for i in range(count)]


# A network of streams is float32 alone.
@pytest.mark.parametrize("name", [name for name in SPECTRAL if name != "streaming"])
def test_half_precision_changes_no_score(name: str) -> None:
    model, origin = small(name)
    graph = onnx_graph(model)
    converted = half(graph)
    recipe = origin.recipe
    heard = [features_of(waveform(s, 1.2), recipe.front_end) for s in (1, 2)]
    plain = logits_of(graph, heard, recipe.window.pad_frames)
    found = logits_of(converted, heard, recipe.window.pad_frames)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, plain, atol=1e-2, rtol=1e-2)
    kinds = {t.data_type for t in converted.graph.initializer if np.prod(t.dims) > 1000}
    assert kinds == {onnx.TensorProto.FLOAT16}


@pytest.mark.parametrize("precision", ["fp16", "int8"])
def test_the_runtime_runs_every_precision(precision: Precision, tmp_path: Path) -> None:
    model, origin = small("lightweight")
    calibration = pieces() if precision == "int8" else ()
    paths = {p: tmp_path / f"{p}.onnx" for p in ("fp32", precision)}
    export(model, origin, paths["fp32"], RELEASE)
    export(model, origin, paths[precision], RELEASE, precision=precision, calibration=calibration)
    plain, small_one = (load_model(str(path)) for path in paths.values())
    assert (plain.info.precision, small_one.info.precision) == ("fp32", precision)
    sound = waveform(31, 1.3)
    scores = [model.scores([model.pieces(sound)])[0] for model in (plain, small_one)]
    np.testing.assert_allclose(scores[0], scores[1], atol=0.03)
    sizes = [path.stat().st_size for path in paths.values()]
    assert sizes[1] < 0.6 * sizes[0]


def test_weights_are_integers_per_channel() -> None:
    quantiser = Quantiser.calibrated(onnx_graph(small("lightweight")[0]), pieces())
    left = quantiser.layers[-1]
    graph = quantiser.quantised([left]).graph
    held = {t.name: onnx.numpy_helper.to_array(t) for t in graph.initializer}
    weights = {n: a for n, a in held.items() if a.dtype == np.int8 and a.size > 100}
    assert max(np.abs(a.astype(int)).max() for a in weights.values()) <= 64  # seven bits
    for node in graph.node:
        if node.op_type == "DequantizeLinear" and node.input[0] in weights:
            assert held[node.input[1]].size > 1  # a scale per channel
    (node,) = [node for node in graph.node if node.name == left]
    assert held[node.input[1]].dtype == np.float32


def test_tensorrt_gets_symmetric_integers() -> None:
    graph, _ = measured(onnx_graph(small("lightweight")[0]), pieces(), 50, symmetric=True)
    held = {t.name: onnx.numpy_helper.to_array(t) for t in graph.graph.initializer}
    points = [held[n.input[2]] for n in graph.graph.node if n.op_type == "QuantizeLinear"]
    assert points
    assert all(p.dtype == np.int8 and not p.any() for p in points)


def test_sensitive_layers_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    graph, heard = onnx_graph(small("lightweight")[0]), pieces()
    _, relaxed = measured(graph, heard, 50)
    assert relaxed.error < sensitivity.MAX_ERROR
    assert (relaxed.left_alone, relaxed.without) == ([], {})
    monkeypatch.setattr(sensitivity, "MAX_ERROR", 0.7 * relaxed.error)
    _, strict = measured(graph, heard, 50)
    worst = min(strict.without, key=strict.without.__getitem__)
    assert strict.left_alone[0] == worst
    assert strict.remaining <= 0.7 * strict.error


def test_integers_need_training_windows(tmp_path: Path) -> None:
    model, origin = small("lightweight")
    with pytest.raises(UserError, match="windows of the training part"):
        export(model, origin, tmp_path / "no.onnx", RELEASE, precision="int8")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("precision", "ua_change", "ratio", "ships", "said"),
    [
        ("int8", 0.004, 0.7, True, "+0.4 points"),
        ("int8", -0.009, 0.9, True, "-0.9 points"),
        ("int8", -0.011, 0.5, False, "loses 1.1 points"),
        ("int8", 0.0, 1.0, False, "not faster"),
        ("fp16", 0.0, 1.1, True, "half the size"),
        ("fp16", -0.02, 1.0, False, "loses 2.0 points"),
    ],
)
def test_what_ships(
    precision: Precision, ua_change: float, ratio: float, ships: bool, said: str
) -> None:
    times = [Timing(250, 1.0, Ratio(r, r, r)) for r in (0.5, ratio)]
    assert verdict(precision, ua_change, times)[0] is ships
    assert said in verdict(precision, ua_change, times)[1]
