"""The weights of Moonshine's encoder, from the file in its package."""

from __future__ import annotations

import importlib
import struct
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from edgeser.errors import UserError
from edgeser_train.models.integer_weights import in_integers

INSTALLED = "moonshine-voice"
_PLACE = "assets/tiny-en/encoder_model.ort"
_HOW = "pip install 'edgeser[moonshine]', or set model.pretrained to its encoder_model.ort"
_KINDS = {1: np.float32, 2: np.uint8, 3: np.int8}
_READER = "onnxruntime.tools.ort_format_model.ort_flatbuffers_py.fbs"


def pretrained_weights(source: str, layers: int, rank: int) -> dict[str, Tensor]:
    """The state of a ``MoonshineEncoder`` of so many layers.

    The second convolution is factorised into two by its ``rank`` largest singular values. Raises
    UserError where there is no such file, or it is of another model.
    """
    path = _installed() if source == INSTALLED else Path(source)
    try:
        return _state(_Graph(path.read_bytes()), layers, rank)
    except OSError as error:
        raise UserError(f"moonshine: {source}: {error.strerror}", _HOW) from error
    except (KeyError, ValueError, TypeError, AttributeError, struct.error) as error:
        raise not_tiny(source) from error


def not_tiny(source: str) -> UserError:
    """The error that the file of that name holds something else."""
    return UserError(f"moonshine: {source}: not the encoder of Moonshine Tiny", _HOW)


def _installed() -> Path:
    package = find_spec("moonshine_voice")
    if package is None or package.origin is None:
        raise UserError("moonshine: the package moonshine-voice is not installed", _HOW)
    return Path(package.origin).parent / _PLACE


class _Graph:
    """An ORT format file: arrays by name, and the names of each node's inputs."""

    def __init__(self, content: bytes) -> None:
        if content[4:8] != b"ORTM":
            raise ValueError("not an ORT format file")
        session = importlib.import_module(f"{_READER}.InferenceSession").InferenceSession
        graph = session.GetRootAsInferenceSession(bytearray(content), 0).Model().Graph()
        self.arrays = {
            _text(tensor.Name()): tensor
            for tensor in (graph.Initializers(i) for i in range(graph.InitializersLength()))
        }
        self.inputs = {
            _text(node.Name()): [_text(node.Inputs(k)) for k in range(node.InputsLength())]
            for node in (graph.Nodes(i) for i in range(graph.NodesLength()))
        }

    def tensor(self, name: str) -> Tensor:
        """By name. Raises KeyError."""
        array = self.arrays[name]
        kind = _KINDS[array.DataType()]
        shape = [array.Dims(i) for i in range(array.DimsLength())]
        return torch.from_numpy(np.array(array.RawDataAsNumpy()).view(kind).reshape(shape))

    def of(self, node: str) -> list[str]:
        """Input names of the first node whose name starts with ``node``. Raises KeyError."""
        for name, inputs in self.inputs.items():
            if name.startswith(node):
                return inputs
        raise KeyError(node)


def _text(raw: bytes | None) -> str:
    return "" if raw is None else raw.decode()


def _state(graph: _Graph, layers: int, rank: int) -> dict[str, Tensor]:
    state = dict(_stem(graph, rank))
    for i in range(layers):
        state.update(_layer(graph, i, last=i + 1 == layers))
    return state


def _stem(graph: _Graph, rank: int) -> Iterator[tuple[str, Tensor]]:
    yield "conv1", graph.tensor(graph.of("/conv1/Conv")[1])
    for ours, node in (("norm_weight", "/groupnorm/Mul"), ("norm_bias", "/groupnorm/Add")):
        yield ours, graph.tensor(graph.of(node)[1]).flatten()
    _, weight, bias = graph.of("/conv2/Conv")
    whole = graph.tensor(weight)
    left, values, right = torch.linalg.svd(whole.flatten(1), full_matrices=False)
    yield from _integers("narrow2", right[:rank].unflatten(1, whole.shape[1:]))
    yield from _integers("conv2", (left[:, :rank] * values[:rank])[:, :, None])
    yield "conv2.bias", graph.tensor(bias)
    _, weight, bias = graph.of("/conv3/Conv")
    yield from _integers("conv3", graph.tensor(weight))
    yield "conv3.bias", graph.tensor(bias)


def _layer(graph: _Graph, i: int, *, last: bool) -> Iterator[tuple[str, Tensor]]:
    theirs, ours = f"/layers.{i}", f"layers.{i}"
    norms, linear = dict(_ATTENTION_NORM), dict(_ATTENTION)
    if not last:
        norms.update(_FEED_FORWARD_NORM)
        linear.update(_FEED_FORWARD)
    for own, name in norms.items():
        yield f"{ours}.{own}", graph.tensor(graph.of(f"{theirs}/{name}/")[1])
    for own, name in linear.items():
        inputs = graph.of(f"{theirs}/{name}/MatMul")
        weight = next(x for x in inputs if x.endswith("_quantized") and x in graph.arrays)
        known = weight.removesuffix("_quantized")
        zero, scale = graph.tensor(f"{known}_zero_point"), graph.tensor(f"{known}_scale")
        yield from _integers(f"{ours}.{own}", (graph.tensor(weight).float() - zero).T * scale)
        if (bias := inputs[-1]).endswith(".bias"):
            yield f"{ours}.{own}.bias", graph.tensor(bias)


def _integers(name: str, weights: Tensor) -> Iterator[tuple[str, Tensor]]:
    """The state of an ``IntegerWeights``."""
    weight, scale = in_integers(weights.contiguous())
    yield f"{name}.weight", weight
    yield f"{name}.scale", scale


_ATTENTION_NORM = {"attention_norm": "input_layernorm"}
_ATTENTION = {
    "query": "self_attn/q_proj",
    "key": "self_attn/k_proj",
    "value": "self_attn/v_proj",
    "output": "self_attn/o_proj",
}
_FEED_FORWARD_NORM = {"feed_forward.norm": "post_attention_layernorm"}
_FEED_FORWARD = {"feed_forward.wide": "mlp/fc1", "feed_forward.narrow": "mlp/fc2"}
"""Our names, and those in the file."""
