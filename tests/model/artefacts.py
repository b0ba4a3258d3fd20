"""Small artefacts for every front end and window policy, and their scores in plain NumPy."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from edgeser.features import FrontEnd, WindowPolicy
from edgeser.model.artefact import (
    METADATA_KEY,
    ArtefactInfo,
    Estimate,
    Golden,
    Tensor,
    TrainingRecord,
)
from edgeser.model.golden import waveform

LABELS = ["one", "two", "three"]
TEMPERATURE = 0.8

Features = np.ndarray


class SmallNetwork:
    """tanh(features @ weights) * cos(time), summed over time: tells apart times, bands, labels."""

    def __init__(self, width: int) -> None:
        rng = np.random.default_rng(width)
        weights = rng.standard_normal((width, len(LABELS))) / (4 * np.sqrt(width))
        self.weights = weights.astype(np.float32)

    def logits(self, features: Features) -> np.ndarray:
        """Logits of one piece (frames, width)."""
        swing = np.cos(np.arange(len(features)) * 1.0)[:, None]
        return (np.tanh(features.astype(float) @ self.weights) * swing).sum(axis=0)

    def scores(self, pieces: list[Features]) -> np.ndarray:
        """Scores of one window, given by its pieces."""
        logits = np.mean([self.logits(piece) for piece in pieces], axis=0) / TEMPERATURE
        powers = np.exp(logits - logits.max())
        return powers / powers.sum()

    def graph(self) -> onnx.ModelProto:
        """The same in ONNX, masked by ``frames``."""
        constants = {
            "weights": self.weights,
            "zero": np.int64(0),
            "one": np.int64(1),
            "time_axis": np.array([1]),
            "last_axis": np.array([2]),
        }
        nodes = [
            helper.make_node("Shape", ["features"], ["length"], start=1, end=2),
            helper.make_node("Squeeze", ["length"], ["steps"]),
            helper.make_node("Range", ["zero", "steps", "one"], ["time"]),
            helper.make_node("Cast", ["time"], ["seconds"], to=TensorProto.FLOAT),
            helper.make_node("Cos", ["seconds"], ["swing"]),
            helper.make_node("Unsqueeze", ["frames", "time_axis"], ["ends"]),
            helper.make_node("Less", ["time", "ends"], ["heard"]),
            helper.make_node("Cast", ["heard"], ["mask"], to=TensorProto.FLOAT),
            helper.make_node("Mul", ["mask", "swing"], ["flat"]),
            helper.make_node("Unsqueeze", ["flat", "last_axis"], ["gate"]),
            helper.make_node("MatMul", ["features", "weights"], ["hidden"]),
            helper.make_node("Tanh", ["hidden"], ["bent"]),
            helper.make_node("Mul", ["bent", "gate"], ["gated"]),
            helper.make_node("ReduceSum", ["gated", "time_axis"], ["logits"], keepdims=0),
        ]
        width = len(self.weights)
        graph = helper.make_graph(
            nodes,
            "small",
            [
                helper.make_tensor_value_info("features", 1, ["batch", "frames", width]),
                helper.make_tensor_value_info("frames", 7, ["batch"]),
            ],
            [helper.make_tensor_value_info("logits", 1, ["batch", len(LABELS)])],
            [numpy_helper.from_array(np.asarray(v), k) for k, v in constants.items()],
        )
        opset = helper.make_opsetid("", 17)
        return helper.make_model(graph, opset_imports=[opset], ir_version=8)


def write_artefact(
    path: Path, front_end: FrontEnd, window: WindowPolicy, expected: Callable[[Any], np.ndarray]
) -> SmallNetwork:
    """Write an artefact with a small network. ``expected``: int16 samples to scores, for the golden
    vectors."""
    network = SmallNetwork(front_end.width)
    none = Estimate(0.5, 0.4, 0.6)
    info = ArtefactInfo(
        name=path.stem,
        version="1",
        labels=LABELS,
        front_end=front_end,
        window=window,
        inputs=[
            Tensor("features", ["batch", "frames", front_end.width], "float32"),
            Tensor("frames", ["batch"], "int64"),
        ],
        outputs=[Tensor("logits", ["batch", len(LABELS)], "float32")],
        temperature=TEMPERATURE,
        abstain_below=0.0,
        training=TrainingRecord([], "CC0-1.0", "none", none, none, none, 0.0, "", ""),
        golden=[
            Golden(seed, seconds, [float(s) for s in expected(waveform(seed, seconds))])
            for seed, seconds in ((1, 1.0), (2, 2.35), (3, 4.5))
        ],
    )
    graph = network.graph()
    entry = graph.metadata_props.add()
    entry.key, entry.value = METADATA_KEY, msgspec.json.encode(info).decode()
    onnx.checker.check_model(graph)
    onnx.save(graph, path)
    return network


def changed(path: Path, tmp_path: Path, change: Callable[[dict[str, Any]], None]) -> Path:
    """The artefact with its metadata changed."""
    graph = onnx.load(path)
    tree = msgspec.json.decode(graph.metadata_props[0].value)
    change(tree)
    graph.metadata_props[0].value = msgspec.json.encode(tree).decode()
    onnx.save(graph, tmp_path / "changed.onnx")
    return tmp_path / "changed.onnx"
