"""Silero VAD's network as a graph that hears several chunks in one run.

The graph in the package takes one chunk of 32 ms at a time. Most of its time goes into branches for
other sample rates and ranks, and into matrix products that are too small. Here its weights are in a
graph of our own: the Fourier transform and the convolutions, which see a single chunk, are matrix
products over all chunks of a run, and only the LSTM goes from one to the next. It is the same
function: a test compares the two.

A chunk is 576 samples, the first 64 of which end the chunk before, padded with 64 reflected ones at
the end: four frames of 256, 128 apart. Their magnitudes go through four convolutions of width 3
(strides 1, 2, 2, 1; ReLU), an LSTM of 128, ReLU, one output, sigmoid.

The transform's window is symmetric. A frame therefore goes in as its even and odd halves: sums of
samples at equal distance from its middle for the real part, their differences for the imaginary
part. That halves the products.
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from edgeser.protobuf import fields, message, packed, texts

Floats = npt.NDArray[np.float32]

CHUNK_SAMPLES = 512
"""Samples of a chunk that are new: 32 ms."""

CONTEXT_SAMPLES = 64
"""Samples of the chunk before that are put in front of it."""

STATE = 128
"""Numbers in each of the LSTM's two states."""

_FRAME, _HOP, _FRAMES = 256, 128, 4
_MIDDLE, _BINS = 128, 129
_STRIDES = (1, 2, 2, 1)
_FLOAT, _INT64, _INT = 1, 7, 2  # of onnx.proto: types of tensors, and of an attribute
_IR_VERSION, _OPSET = 8, 17

_Shape: TypeAlias = tuple[int | str, ...]
"""Sizes; a name stands for any size."""


def frames_of(sound: Floats) -> Floats:
    """Whole chunks, the context in front of the first: (64 + n * 512,) -> (n * 4, 256).

    A row holds the even half of a frame x: x[0], x[k] + x[256 - k] for 0 < k < 128, x[128]; then
    its odd half: x[k] - x[256 - k].
    """
    chunks = len(sound) // CHUNK_SAMPLES
    frames = np.empty((chunks, _FRAMES, _FRAME), np.float32)
    begins = sound[:-CONTEXT_SAMPLES].reshape(chunks, CHUNK_SAMPLES)
    for frame in range(_FRAMES - 1):
        frames[:, frame] = begins[:, frame * _HOP : frame * _HOP + _FRAME]
    inside = _FRAME - CONTEXT_SAMPLES  # of the last frame; its reflection follows
    ends = sound[CONTEXT_SAMPLES:].reshape(chunks, CHUNK_SAMPLES)
    frames[:, -1, :inside] = ends[:, -inside:]
    frames[:, -1, inside:] = ends[:, -2 : -2 - CONTEXT_SAMPLES : -1]
    flat = frames.reshape(-1, _FRAME)
    first, second = flat[:, 1:_MIDDLE], flat[:, :_MIDDLE:-1]
    halves = np.empty_like(flat)
    halves[:, 0], halves[:, _MIDDLE] = flat[:, 0], flat[:, _MIDDLE]
    np.add(first, second, out=halves[:, 1:_MIDDLE])
    np.subtract(first, second, out=halves[:, _BINS:])
    return halves


def graph(silero: bytes) -> bytes:
    """The graph for any number of chunks a run, from the package's ONNX file; ONNX, too.

    Inputs: ``frames`` (chunks * 4, 256) as of ``frames_of``, ``h`` and ``c`` (1, 1, 128), float32.
    Outputs: ``probability`` (chunks, 1), ``next_h``, ``next_c``. Raises ValueError, IndexError or
    KeyError for another network.
    """
    weights = _weights(silero)
    made = _Graph()
    made.node(
        "Split", "frames", made.whole_numbers("halves", _BINS, _BINS - 2), to="even odd", axis=1
    )
    real, imaginary = np.split(weights["stft.forward_basis_buffer"][:, 0], 2)
    made.node("MatMul", "even", made.constant("cosines", real[:, :_BINS].T), to="re")
    made.node("MatMul", "odd", made.constant("sines", imaginary[:, 1:_MIDDLE].T), to="im")
    made.node("Mul", "re", "re", to="re2")
    made.node("Mul", "im", "im", to="im2")
    made.node("Add", "re2", "im2", to="power")
    made.node("Sqrt", "power", to="magnitude")
    made.node(
        "Reshape", "magnitude", made.whole_numbers("by_chunk", -1, _FRAMES, _BINS), to="chunks"
    )
    made.node("Pad", "chunks", made.whole_numbers("one_around", 0, 1, 0, 0, 1, 0), to="wide")
    axis = made.whole_numbers("axis", 1)
    for tap in range(3):  # the first layer as a matrix over all frames would be mostly zeros
        at = [made.whole_numbers(f"{tap} and {end}", end) for end in (tap, tap + _FRAMES)]
        made.node("Slice", "wide", *at, axis, to=f"tap{tap}")
    made.node("Concat", "tap0", "tap1", "tap2", to="taps", axis=2)
    made.node("Reshape", "taps", made.whole_numbers("by_frame", -1, 3 * _BINS), to="layer0")
    kernels, bias = _convolution(weights, 0)
    product = kernels.transpose(2, 1, 0).reshape(3 * _BINS, -1)
    made.layer(0, product, bias)
    made.node("Reshape", "relu0", made.whole_numbers("whole", -1, _FRAMES * len(bias)), to="layer1")
    frames = _FRAMES
    for number, stride in list(enumerate(_STRIDES))[1:]:
        kernels, bias = _convolution(weights, number)
        product = _as_product(kernels, frames, stride)
        frames = -(-frames // stride)
        made.layer(number, product, np.tile(bias, frames))
    made.node("Reshape", "relu3", made.whole_numbers("in_time", -1, 1, STATE), to="heard")
    gates = [_gates(weights[f"decoder.rnn.{name}"]) for name in ("weight_ih", "weight_hh")]
    biases = [_gates(weights[f"decoder.rnn.{name}"]) for name in ("bias_ih", "bias_hh")]
    lstm = (
        made.constant("of_input", gates[0][None]),
        made.constant("of_state", gates[1][None]),
        made.constant("biases", np.concatenate(biases)[None]),
    )
    made.node("LSTM", "heard", *lstm, "", "h", "c", to="states next_h next_c", hidden_size=STATE)
    made.node("Relu", "states", to="activations")
    made.node("Reshape", "activations", made.whole_numbers("rows", -1, STATE), to="voices")
    weight = made.constant("weight", weights["decoder.decoder.2.weight"].reshape(STATE, 1))
    made.node(
        "Gemm",
        "voices",
        weight,
        made.constant("bias", weights["decoder.decoder.2.bias"]),
        to="logit",
    )
    made.node("Sigmoid", "logit", to="probability")
    state = (1, 1, STATE)
    return made.packed(
        {"frames": ("frames", _FRAME), "h": state, "c": state},
        {"probability": ("chunks", 1), "next_h": state, "next_c": state},
    )


def _convolution(weights: dict[str, Floats], number: int) -> tuple[Floats, Floats]:
    """Kernels (out, in, 3) and biases (out,)."""
    name = f"encoder.{number}.reparam_conv"
    return weights[f"{name}.weight"], weights[f"{name}.bias"]


def _as_product(kernels: Floats, frames: int, stride: int) -> Floats:
    """A zero-padded convolution of width 3 over so many frames, as one matrix.

    (out, in, 3) -> (frames * in, output frames * out).
    """
    outputs, inputs, _ = kernels.shape
    after = -(-frames // stride)
    product = np.zeros((frames, inputs, after, outputs), np.float32)
    for at in range(after):
        for tap in range(3):
            if 0 <= (frame := at * stride + tap - 1) < frames:
                product[frame, :, at] = kernels[:, :, tap].T
    return product.reshape(frames * inputs, after * outputs)


def _gates(weights: Floats) -> Floats:
    """Gates in ONNX's order (input, output, forget, cell), not PyTorch's (i, f, c, o)."""
    i, f, c, o = np.split(weights, 4)
    return np.concatenate((i, o, f, c))


def _weights(silero: bytes) -> dict[str, Floats]:
    """The constants of the 16 kHz branch, by the last part of their names."""
    (model,) = [v for f, v in fields(memoryview(silero)) if f == 7]
    attributes = [
        message(attribute)
        for f, node in fields(message(model))
        if f == 1 and texts(node, 4) == ["If"]
        for g, attribute in fields(message(node))
        if g == 5
    ]
    (branch,) = [a for a in attributes if texts(a, 1) == ["then_branch"]]
    (body,) = [message(v) for f, v in fields(branch) if f == 6]
    found = {}
    for f, node in fields(body):
        if f != 1 or texts(node, 4) != ["Constant"]:
            continue
        (attribute,) = [message(v) for g, v in fields(message(node)) if g == 5]
        (tensor,) = [message(v) for g, v in fields(attribute) if g == 5]
        parts = list(fields(tensor))
        shape = [v for g, v in parts if g == 1 and isinstance(v, int)]
        content = [message(v) for g, v in parts if g == 9]
        if (2, _FLOAT) in parts and content:
            name = texts(node, 2)[0].rpartition("__")[2]
            found[name] = np.frombuffer(content[0], "<f4").reshape(shape)
    return found


class _Graph:
    """An ONNX graph in the making; field numbers are those of onnx.proto."""

    def __init__(self) -> None:
        self._parts: list[bytes] = [packed(2, "silero")]

    def constant(self, name: str, values: Floats) -> str:
        """A constant of float32; its name."""
        return self._tensor(name, _FLOAT, np.ascontiguousarray(values, "<f4"))

    def whole_numbers(self, name: str, *values: int) -> str:
        """A constant of int64; its name."""
        return self._tensor(name, _INT64, np.array(values, "<i8"))

    def node(self, operator: str, *inputs: str, to: str, **attributes: int) -> None:
        """Apply an operator; ``to``: the names of its outputs."""
        parts = [packed(1, name) for name in inputs]
        parts += [packed(2, name) for name in to.split()]
        parts.append(packed(4, operator))
        for name, value in attributes.items():
            parts.append(packed(5, packed(1, name) + packed(3, value) + packed(20, _INT)))
        self._parts.append(packed(1, b"".join(parts)))

    def layer(self, number: int, product: Floats, bias: Floats) -> None:
        """``layerN`` times a matrix, plus a bias, ReLU: ``reluN``, which the next one takes."""
        constants = self.constant(f"kernels{number}", product), self.constant(f"bias{number}", bias)
        before = f"layer{number}" if number < 2 else f"relu{number - 1}"
        self.node("Gemm", before, *constants, to=f"sums{number}")
        self.node("Relu", f"sums{number}", to=f"relu{number}")

    def packed(self, inputs: dict[str, _Shape], outputs: dict[str, _Shape]) -> bytes:
        """The graph as ONNX, with these inputs and outputs of float32."""
        ends = [packed(11, _described(*end)) for end in inputs.items()]
        ends += [packed(12, _described(*end)) for end in outputs.items()]
        whole = packed(7, b"".join(self._parts + ends))
        return packed(1, _IR_VERSION) + whole + packed(8, packed(1, "") + packed(2, _OPSET))

    def _tensor(
        self, name: str, kind: int, values: npt.NDArray[np.float32] | npt.NDArray[np.int64]
    ) -> str:
        shape = b"".join(packed(1, size) for size in values.shape)
        tensor = shape + packed(2, kind) + packed(8, name) + packed(9, values.tobytes())
        self._parts.append(packed(5, tensor))
        return name


def _described(name: str, shape: _Shape) -> bytes:
    sizes = [packed(1 if isinstance(size, int) else 2, size) for size in shape]
    dimensions = b"".join(packed(1, size) for size in sizes)
    tensor = packed(1, _FLOAT) + packed(2, dimensions)
    return packed(1, name) + packed(2, packed(1, tensor))
