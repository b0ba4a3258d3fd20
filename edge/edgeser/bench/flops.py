"""Floating-point operations of a graph, counted from its nodes; needs the package ``onnx``."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any


def flops(path: Path, batch: int, frames: int) -> float | None:
    """Operations (2 per multiply-add) of Conv, MatMul, Gemm and GRU; None without ``onnx``."""
    try:
        import onnx
    except ImportError:
        return None
    graph = onnx.load(path)
    fixed = {"batch": batch, "frames": frames}
    for tensor in graph.graph.input:
        for dimension in tensor.type.tensor_type.shape.dim:
            if dimension.dim_param in fixed:
                dimension.dim_value = fixed[dimension.dim_param]
    del graph.graph.value_info[:]
    inferred = onnx.shape_inference.infer_shapes(graph, data_prop=True).graph
    shapes = {
        value.name: [d.dim_value for d in value.type.tensor_type.shape.dim]
        for value in (*inferred.value_info, *inferred.input, *inferred.output)
    }
    shapes |= {tensor.name: list(tensor.dims) for tensor in inferred.initializer}
    return sum(_of(node, shapes, batch) for node in inferred.node)


def _of(node: Any, shapes: dict[str, list[int]], batch: int) -> float:
    def shape(name: str) -> list[int]:
        found = shapes.get(name, [])
        return [size or batch for size in found]

    if node.op_type == "Conv":
        kernel = shape(node.input[1])
        return 2.0 * math.prod(shape(node.output[0])) * math.prod(kernel[1:])
    if node.op_type in ("MatMul", "Gemm"):
        return 2.0 * math.prod(shape(node.output[0])) * shape(node.input[0])[-1]
    if node.op_type == "GRU":
        steps, sequences, inputs = shape(node.input[0])
        directions, gates, _ = shape(node.input[1])
        hidden = gates // 3
        return 2.0 * steps * sequences * directions * gates * (inputs + hidden)
    return 0.0
