"""Metadata of an ONNX file, read without loading its graph or any library for it.

A TensorRT engine holds neither the artefact's metadata nor the precision it was made for, and a
device that runs one need not have the package ``onnx``: this reads the few fields that count,
straight from the file's protocol buffer (field numbers: onnx.proto).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from edgeser.model.artefact import ArtefactError, Precision
from edgeser.protobuf import fields, message, texts

_UINT8, _FLOAT16 = 2, 10
_QUANTISE = b"QuantizeLinear"


@dataclass(frozen=True)
class OnnxFile:
    """The file's metadata, the names of its inputs and outputs, and the precision it computes in.

    ``int8``: activations are quantised; ``fp16``: weights or constants have that type; otherwise
    ``fp32``, also if only the weights are stored as integers. ``unsigned``: some of its integers
    are unsigned, with zero points of their own: faster on CPUs, and not accepted by TensorRT.
    """

    metadata: dict[str, str]
    inputs: list[str]
    outputs: list[str]
    precision: Precision
    unsigned: bool


def read_onnx(onnx: bytes, path: Path) -> OnnxFile:
    """Read the file's content; ``path`` only names it. Raises ArtefactError if it is no ONNX."""
    metadata: dict[str, str] = {}
    graphs = []
    try:
        for field, value in fields(memoryview(onnx)):
            if field == 7:
                graphs.append(message(value))
            elif field == 14:
                key, text = texts(value, 1), texts(value, 2)
                metadata[key[0]] = text[0] if text else ""
        (graph,) = graphs
        inputs = [name for f, v in fields(graph) if f == 11 for name in texts(v, 1)]
        outputs = [name for f, v in fields(graph) if f == 12 for name in texts(v, 1)]
        operators, types = _used(graph)
    except (ValueError, IndexError) as error:
        raise ArtefactError(
            f"model {path}: not an ONNX file", "make one with 'edgeser export'"
        ) from error
    precision: Precision = "fp16" if _FLOAT16 in types else "fp32"
    if _QUANTISE in operators:
        precision = "int8"
    return OnnxFile(metadata, inputs, outputs, precision, precision == "int8" and _UINT8 in types)


def _used(graph: memoryview) -> tuple[set[bytes], set[int]]:
    """Names of the operators, and types of the weights and constants."""
    operators: set[bytes] = set()
    types: set[int] = set()
    for field, value in fields(graph):
        if field == 5:
            types.add(_type(message(value)))
        elif field == 1:
            for part, content in fields(message(value)):
                if part == 4:
                    operators.add(bytes(message(content)))
                elif part == 5:  # an attribute; a constant's value is a tensor in it
                    tensors = [v for f, v in fields(message(content)) if f == 5]
                    types.update(_type(message(v)) for v in tensors)
    return operators, types


def _type(tensor: memoryview) -> int:
    for field, value in fields(tensor):
        if field == 2 and isinstance(value, int):
            return value
    return 0
