"""Half precision and eight-bit integers: smaller variants of an exported graph.

Inputs and outputs stay float32 and int64, so that the runtime runs each variant like any artefact.
"""

from __future__ import annotations

import copy
import logging
import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnx

from edgeser.features.front_end import Floats
from edgeser.features.pieces import batch_of
from edgeser_export.projected_gru import without_identities

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
from onnxruntime.quantization import CalibrationDataReader, QDQQuantizer, QuantType
from onnxruntime.quantization.calibrate import create_calibrator
from onnxruntime.quantization.shape_inference import quant_pre_process
from onnxruntime.transformers.float16 import DEFAULT_OP_BLOCK_LIST, convert_float_to_float16
from onnxruntime.transformers.onnx_model import OnnxModel

LAYERS = ("Conv", "MatMul", "Gemm")
"""Operators with weights: those that integers make faster."""

BETWEEN = ("MaxPool", "Relu", "Reshape", "Transpose")
"""Operators that pass integers on, so that nothing is converted back between two layers."""

_LARGEST_HALF = 3e4
_EXACT = ("CumSum", "LogSoftmax", "ReduceLogSumExp", "Softmax")
"""Operators that stay float32 in half precision, as their sums over time would lose accuracy."""


def half(graph: Any) -> Any:
    """The graph with weights and inner tensors in float16.

    The standardisation of the features, every sum of probabilities and all that is computed from
    log-probabilities (CTC) stay in float32. The FAR_BELOW of masks becomes -3e4, low enough, and to
    which float16 can still add.
    """
    with _quiet():
        converted = convert_float_to_float16(
            copy.deepcopy(graph),
            max_finite_val=_LARGEST_HALF,
            keep_io_types=True,
            op_block_list=[*DEFAULT_OP_BLOCK_LIST, *_EXACT],
            node_block_list=[*_standardisation(graph), *_after_log_softmax(graph)],
        )
    _without_round_trips(converted)
    return _finished(converted)


@dataclass(frozen=True)
class Quantiser:
    """A graph and the ranges of its tensors over calibration pieces; makes integer variants."""

    graph: Any
    ranges: Any
    symmetric: bool

    @classmethod
    def calibrated(
        cls,
        graph: Any,
        pieces: Sequence[Floats],
        *,
        pad_frames: int = 1,
        symmetric: bool = False,
    ) -> Quantiser:
        """Ranges over pieces of features (frames, width), which must be of training windows.

        ``pad_frames``: as in the window policy.
        ``symmetric``: signed activations with zero point 0, which TensorRT requires; otherwise
        unsigned ones, which x86 and ARM multiply faster.
        """
        with tempfile.TemporaryDirectory() as folder, _quiet():
            plain, ready = Path(folder) / "plain.onnx", Path(folder) / "ready.onnx"
            onnx.save(graph, plain)
            quant_pre_process(str(plain), str(ready), skip_symbolic_shape=True)
            calibrator = create_calibrator(
                str(ready),
                [*LAYERS, *BETWEEN],
                augmented_model_path=str(Path(folder) / "augmented.onnx"),
                extra_options={"symmetric": symmetric},
            )
            calibrator.collect_data(_Reader(pieces, pad_frames))
            return cls(onnx.load(ready), calibrator.compute_data(), symmetric)

    @property
    def layers(self) -> list[str]:
        """Names of the layers that can be quantised, in the graph's order."""
        constant = {tensor.name for tensor in self.graph.graph.initializer}
        return [
            node.name
            for node in self.graph.graph.node
            if node.op_type in LAYERS and node.input[1] in constant
        ]

    def quantised(self, left_alone: Sequence[str] = ()) -> Any:
        """The graph in QDQ form, weights per channel, all layers but ``left_alone`` in integers.

        Weights have seven bits (eight if ``symmetric``), so that on no CPU the 16-bit sums of
        products saturate.
        """
        layers = self.layers
        quantiser = QDQQuantizer(
            copy.deepcopy(self.graph),
            per_channel=True,
            reduce_range=not self.symmetric,
            weight_qType=QuantType.QInt8,
            activation_qType=QuantType.QInt8 if self.symmetric else QuantType.QUInt8,
            tensors_range=self.ranges,
            nodes_to_quantize=[],
            nodes_to_exclude=[
                node.name
                for node in self.graph.graph.node
                if node.op_type in LAYERS and (node.name not in layers or node.name in left_alone)
            ],
            op_types_to_quantize=[*LAYERS, *BETWEEN],
            extra_options={
                "ActivationSymmetric": self.symmetric,
                "WeightSymmetric": True,
                "QuantizeBias": not self.symmetric,  # TensorRT accepts biases only as floats
                "ForceQuantizeNoInputCheck": False,
            },
        )
        with _quiet():
            quantiser.quantize_model()
        return _finished(quantiser.model.model)


class _Reader(CalibrationDataReader):  # type: ignore[misc]
    """Gives the calibrator the pieces one by one."""

    def __init__(self, pieces: Sequence[Floats], pad_frames: int) -> None:
        batches = (batch_of([piece], pad_frames) for piece in pieces)
        self._inputs = ({"features": x, "frames": n} for x, n in batches)

    def get_next(self) -> Any:
        return next(self._inputs, None)


def _finished(graph: Any) -> Any:
    """The graph sorted, checked, and without the libraries' metadata."""
    without_identities(graph)
    OnnxModel(graph).topological_sort()
    del graph.metadata_props[:]
    graph.producer_name, graph.producer_version = "edgeser", ""
    onnx.checker.check_model(graph, full_check=True)
    return graph


def _standardisation(graph: Any) -> list[str]:
    """Names of the nodes that subtract the mean from the features and divide by the deviation."""
    reached, names = {"features"}, []
    for node in graph.graph.node:
        if node.op_type in ("Sub", "Div", "Where") and reached & set(node.input):
            reached.update(node.output)
            names.append(node.name)
    return names


def _without_round_trips(graph: Any) -> None:
    """Remove casts to float16 between two nodes in float32, and duplicate casts."""
    rounded: dict[str, str] = {}
    exact: dict[str, str] = {}
    kept: dict[str, Any] = {}
    for node in graph.graph.node:
        if node.op_type == "Cast" and node.output[0].endswith("_cast_to_fp32"):
            exact[node.output[0]] = node.input[0]
        elif node.op_type == "Cast" and node.input[0].endswith("_cast_to_fp16"):
            rounded[node.output[0]] = node.input[0]
    for node in graph.graph.node:
        for i, name in enumerate(node.input):
            if name in exact and exact[name] in rounded:
                node.input[i] = rounded[exact[name]]
        kept.setdefault(node.output[0], node)
    used = {name for node in kept.values() for name in node.input}
    used |= {output.name for output in graph.graph.output}
    del graph.graph.node[:]
    graph.graph.node.extend(
        node for node in kept.values() if node.op_type != "Cast" or node.output[0] in used
    )


def _after_log_softmax(graph: Any) -> list[str]:
    """Names of all nodes that use log-probabilities, or values computed from them."""
    reached: set[str] = set()
    names = []
    for node in graph.graph.node:
        if node.op_type == "LogSoftmax" or reached & set(node.input):
            reached.update(node.output)
            names.append(node.name)
    return names


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the libraries' advice on standard error."""
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(logging.NOTSET)
