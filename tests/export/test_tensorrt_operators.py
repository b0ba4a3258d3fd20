"""Every graph that leaves training is one that TensorRT documents to take."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from edgeser.model.artefact import info_from_metadata, shipped_models
from edgeser.model.model import load_model
from edgeser.model.onnx_file import read_onnx
from edgeser_export.graph import onnx_graph
from edgeser_export.quantise import Quantiser, half
from edgeser_export.streaming import layout_of, stream_graph
from edgeser_export.tensorrt_operators import OPERATORS, not_documented
from edgeser_export.waveform import WaveformFrontEnd
from edgeser_export.waveform_graph import waveform_graph
from edgeser_train.models import build
from edgeser_train.models.streaming import Streaming
from edgeser_train.training.recipes import RECIPES, recipe_of

ON_DEVICES = [name for name in RECIPES if name not in ("wavlm-sap", "moonshine")]
SMALL_WAVLM = {"hidden": 64, "layers": 2, "encoder_heads": 4, "feed_forward": 96}


@pytest.mark.parametrize("name", ON_DEVICES)
def test_every_model_that_a_daemon_runs_is_documented(name: str) -> None:
    (recipe, *_) = RECIPES[name].values()
    model = build(recipe.model)
    graph = onnx_graph(model)
    assert not_documented(graph) == []
    module = WaveformFrontEnd(recipe.front_end, recipe.window)
    info = load_model("lightweight-emodb").info
    assert not_documented(waveform_graph(module, graph, info, model.min_frames)) == []


def test_a_block_of_a_stream_is_documented() -> None:
    model = build(recipe_of("streaming").model)
    layout = layout_of(model)
    assert isinstance(model, Streaming)
    assert layout is not None
    assert not_documented(stream_graph(model, layout)) == []


def test_weights_in_integers_are_documented() -> None:
    (recipe, *_) = RECIPES["moonshine"].values()
    assert not_documented(onnx_graph(build(recipe.model))) == []


def test_the_teacher_is_documented() -> None:
    pytest.importorskip("transformers")
    (recipe, *_) = RECIPES["wavlm-sap"].values()
    small = msgspec.structs.replace(recipe.model, conv_channels=48, pretrained=None, **SMALL_WAVLM)
    assert not_documented(onnx_graph(build(small))) == []


@pytest.mark.parametrize("name", ON_DEVICES)
def test_half_precision_is_documented(name: str) -> None:
    (recipe, *_) = RECIPES[name].values()
    assert not_documented(half(onnx_graph(build(recipe.model)))) == []


def test_symmetric_integers_are_documented_and_others_are_not() -> None:
    (recipe, *_) = RECIPES["attention-pooling"].values()
    model = build(recipe.model)
    pieces = [np.random.default_rng(0).standard_normal((100, len(model.mean)), np.float32)]
    for symmetric in (True, False):
        quantiser = Quantiser.calibrated(onnx_graph(model), pieces, symmetric=symmetric)
        graph = quantiser.quantised()
        found = not_documented(graph)
        assert (found == []) == symmetric
        assert read_onnx(graph.SerializeToString(), Path("m.onnx")).unsigned != symmetric
        kinds = ("UINT8 is not", "INT32 is not", "zero point must be 0")
        assert all(any(kind in line for kind in kinds) for line in found)


@pytest.mark.parametrize("path", shipped_models().values(), ids=lambda path: path.stem)
def test_every_shipped_graph_is_documented(path: Path) -> None:
    """But for a processor's integers, of which no engine is built; see ``UnfitError``."""
    graph = onnx.load(path)
    info = info_from_metadata({p.key: p.value for p in graph.metadata_props}, path)
    assert (not_documented(graph) == []) == (info.precision != "int8")
    assert (not_documented(graph) == []) == (not read_onnx(path.read_bytes(), path).unsigned)


def graph_of(
    operator: str, kinds: list[int], *, opset: int = 17, **attributes: int
) -> onnx.ModelProto:
    """One node on inputs of these types."""
    inputs = [helper.make_tensor_value_info(f"i{n}", kind, [2, 3]) for n, kind in enumerate(kinds)]
    node = helper.make_node(operator, [i.name for i in inputs], ["out"], "it", **attributes)
    output = helper.make_empty_tensor_value_info("out")
    graph = helper.make_graph([node], "one", inputs, [output])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)])


@pytest.mark.parametrize(
    ("graph", "complaint"),
    [
        (graph_of("NonZero", [TensorProto.FLOAT]), "NonZero 'it': not in TensorRT's list"),
        (graph_of("Clip", [TensorProto.INT64]), "Clip 'it': INT64 is not in the list"),
        (graph_of("Relu", [TensorProto.DOUBLE]), "Relu 'it': DOUBLE is not in the list"),
        (graph_of("Cast", [TensorProto.FLOAT], to=TensorProto.DOUBLE), "DOUBLE is not in the list"),
        (graph_of("Pow", [TensorProto.FLOAT, TensorProto.INT64]), "Pow 'it': mixes FLOAT, INT64"),
        (graph_of("Relu", [TensorProto.FLOAT], opset=22), "opset 22: TensorRT 10.3 takes 9 to 20"),
    ],
    ids=["operator", "type", "double", "cast", "mixed", "opset"],
)
def test_what_is_not_documented_is_named(graph: onnx.ModelProto, complaint: str) -> None:
    (found,) = not_documented(graph)
    assert complaint in found


def test_the_list_is_of_operators_that_onnx_has() -> None:
    known = {schema.name for schema in onnx.defs.get_all_schemas()}
    assert set(OPERATORS) <= known
    assert len(OPERATORS) > 120
