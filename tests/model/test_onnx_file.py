"""An ONNX file's metadata, read without onnx, compared with what onnx reads."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from edgeser.model.artefact import ArtefactError, info_from_metadata, shipped_models
from edgeser.model.onnx_file import read_onnx
from edgeser.settings.schema import DEFAULT_MODEL

SHIPPED = shipped_models()[DEFAULT_MODEL]
WHOLE = SHIPPED.read_bytes()


@pytest.mark.parametrize("path", shipped_models().values(), ids=lambda path: path.stem)
def test_it_reads_what_onnx_reads(path: Path) -> None:
    known = onnx.load(path)
    found = read_onnx(path.read_bytes(), path)
    assert found.metadata == {p.key: p.value for p in known.metadata_props}
    assert found.inputs == [tensor.name for tensor in known.graph.input]
    assert found.outputs == [tensor.name for tensor in known.graph.output]
    assert found.precision == info_from_metadata(found.metadata, path).precision


def graph_of(nodes: list[onnx.NodeProto], weight: np.ndarray) -> bytes:
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n"])
    weights = [numpy_helper.from_array(weight, "w")]
    graph = helper.make_graph(nodes, "g", [x], [x], weights)
    content: bytes = helper.make_model(graph).SerializeToString()
    return content


def test_the_precision_is_that_of_the_tensors_in_it() -> None:
    add = helper.make_node("Add", ["x", "w"], ["y"])
    single, half = np.ones(3, np.float32), np.ones(3, np.float16)
    constant = helper.make_node("Constant", [], ["c"], value=numpy_helper.from_array(half))
    quantise = helper.make_node("QuantizeLinear", ["x", "w"], ["q"])
    unfold = helper.make_node("DequantizeLinear", ["w", "s"], ["y"])
    path = Path("m.onnx")
    assert read_onnx(graph_of([unfold], np.ones(3, np.int8)), path).precision == "fp32"
    assert read_onnx(WHOLE, path).precision == "fp32"
    assert read_onnx(graph_of([add], single), path).precision == "fp32"
    assert read_onnx(graph_of([add], half), path).precision == "fp16"
    assert read_onnx(graph_of([constant], single), path).precision == "fp16"
    assert read_onnx(graph_of([constant, quantise], half), path).precision == "int8"


def test_integers_of_a_processor_are_told_from_those_of_an_engine() -> None:
    quantise = helper.make_node("QuantizeLinear", ["x", "s", "w"], ["q"])
    add = helper.make_node("Add", ["x", "w"], ["y"])
    for node, kind, unsigned in (
        (quantise, np.uint8, True),
        (quantise, np.int8, False),
        (add, np.uint8, False),
    ):
        assert read_onnx(graph_of([node], np.zeros(3, kind)), Path("m.onnx")).unsigned == unsigned


def refused(content: bytes) -> bool:
    """Whether it is said to be no ONNX; other errors are defects."""
    try:
        read_onnx(content, SHIPPED)
    except ArtefactError as error:
        return "not an ONNX file" in str(error)
    return False


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(content: bytes) -> None:
    assert refused(content) or read_onnx(content, SHIPPED).precision == "fp32"


@given(st.integers(0, len(WHOLE) - 1))
def test_a_file_that_was_cut_off_is_refused_or_has_lost_its_metadata(size: int) -> None:
    assert refused(WHOLE[:size]) or not read_onnx(WHOLE[:size], SHIPPED).metadata
