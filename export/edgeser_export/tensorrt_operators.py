"""What TensorRT's ONNX parser documents, and whether a graph needs more.

TensorRT is not installed on the machines that export, so graphs are checked against its list.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import onnx

SOURCE = "docs/operators.md of github.com/onnx/onnx-tensorrt, of TensorRT 10.15"
"""Without additions after 10.3: an operator is listed here if TensorRT 8.5's list has it, too, or
if the changelog beside it says that a version up to 10.3 added it."""

_OPSETS = range(9, 21)
"""Those of TensorRT 10.0 to 10.3; 10.15 has up to 24."""

_FLOAT = ("FLOAT", "FLOAT16", "BFLOAT16")
_INTEGER = ("INT32", "INT64")
_ANY = (*_FLOAT, *_INTEGER, "BOOL")

_BY_TYPES: dict[tuple[str, ...], str] = {
    _FLOAT: (
        "Acos Acosh Asin Asinh Atan Atanh AveragePool BatchNormalization Ceil Celu Clip Conv "
        "ConvTranspose Cos Cosh CumSum Dropout Einsum Elu Erf Exp Floor GRU Gemm GlobalAveragePool "
        "GlobalLpPool GlobalMaxPool GroupNormalization HardSigmoid HardSwish Hardmax "
        "InstanceNormalization IsInf LRN LSTM LayerNormalization LeakyRelu Log LogSoftmax "
        "LpNormalization LpPool MatMul MaxPool MeanVarianceNormalization PRelu QuantizeLinear RNN "
        "Reciprocal Round Selu Sigmoid Sin Sinh Softmax Softplus Softsign Sqrt Tan Tanh "
        "ThresholdedRelu"
    ),
    (*_FLOAT, *_INTEGER): (
        "Abs Add ArgMax ArgMin DepthToSpace Div Equal Greater GreaterOrEqual IsNaN Less "
        "LessOrEqual Max Mean Min Mod Mul Neg Pad Pow Range ReduceL1 ReduceL2 ReduceLogSum "
        "ReduceLogSumExp ReduceMax ReduceMean ReduceMin ReduceProd ReduceSum ReduceSumSquare Relu "
        "ScatterElements ScatterND Shrink Sign SpaceToDepth Sub Sum TopK"
    ),
    _ANY: (
        "Cast Concat Constant ConstantOfShape Expand EyeLike Flatten Gather GatherElements "
        "GatherND Identity If Loop OneHot Reshape ReverseSequence Shape Size Slice Split Squeeze "
        "Tile Transpose Trilu Unsqueeze Where"
    ),
    ("BOOL",): "And Not Or Xor",
    ("INT8",): "DequantizeLinear",
}
OPERATORS = {name: types for types, names in _BY_TYPES.items() for name in names.split()}
"""Each operator that the parser accepts, with the types that it computes on."""

_QUANTISED = ("QuantizeLinear", "DequantizeLinear")
_DATA = {"Where": 1}
"""Which input is computed on, if not the first; without inputs the output is checked."""

_INDEXED = (
    "ConstantOfShape CumSum DequantizeLinear Dropout Expand Gather GatherElements GatherND If Loop "
    "OneHot Pad QuantizeLinear ReduceL1 ReduceL2 ReduceLogSum ReduceLogSumExp ReduceMax ReduceMean "
    "ReduceMin ReduceProd ReduceSum ReduceSumSquare Reshape ReverseSequence ScatterElements "
    "ScatterND Slice Split Squeeze Tile TopK Trilu Unsqueeze"
)
_MIXED = frozenset(_INDEXED.split())
"""Operators whose other inputs are indices, axes, shapes or scales, of a type of their own."""


def not_documented(graph: onnx.ModelProto) -> list[str]:
    """A line for each part of a graph that is not in the list or breaks strong typing.

    A strongly typed network computes in the types that the graph has and converts nothing: all
    inputs of an operator must have one type.
    """
    opset = next(o.version for o in graph.opset_import if o.domain in ("", "ai.onnx"))
    found = [] if opset in _OPSETS else [f"opset {opset}: TensorRT 10.3 takes 9 to 20"]
    inferred = onnx.shape_inference.infer_shapes(graph, check_type=True, strict_mode=True)
    return found + list(_complaints(inferred.graph))


def _complaints(graph: Any) -> Iterator[str]:
    types = _types(graph)
    zeros = {t.name for t in graph.initializer if not onnx.numpy_helper.to_array(t).any()}
    for node in graph.node:
        where = f"{node.op_type} '{node.name}'"
        if node.domain not in ("", "ai.onnx") or node.op_type not in OPERATORS:
            yield f"{where}: not in TensorRT's list"
            continue
        names = [name for name in node.input if name]
        index = _DATA.get(node.op_type, 0)
        computed = [names[index] if names else node.output[0]]
        if node.op_type in ("Cast", "ConstantOfShape"):
            computed.append(node.output[0])
        for name in computed:
            if types.get(name) not in OPERATORS[node.op_type]:
                yield f"{where}: {types.get(name, 'a type that cannot be told')} is not in the list"
        if node.op_type in _QUANTISED and not zeros.issuperset(names[2:]):
            yield f"{where}: its zero point must be 0"
        if node.op_type not in _MIXED:
            together = {types.get(name) for name in names[index:]}
            if len(together) > 1:
                yield f"{where}: mixes {', '.join(sorted(map(str, together)))}"


def _types(graph: Any) -> dict[str, str]:
    """The type of every tensor, by name."""
    name_of = onnx.TensorProto.DataType.Name
    values = [*graph.input, *graph.output, *graph.value_info]
    types = {value.name: name_of(value.type.tensor_type.elem_type) for value in values}
    return types | {tensor.name: name_of(tensor.data_type) for tensor in graph.initializer}
