"""A front end and a network as one ONNX graph, from the waveform to probabilities."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import torch
from onnx import TensorProto, compose, helper, numpy_helper

from edgeser.features.pieces import padded_length
from edgeser.model.artefact import ModelInfo
from edgeser.onnx_session import open_session
from edgeser_export.graph import traced
from edgeser_export.waveform import WaveformFrontEnd

_TRACED_FRAMES = 120
_MAX_PROBED = 500
_NETWORK = "network/"


def waveform_graph(module: WaveformFrontEnd, network: Any, info: ModelInfo, least: int) -> Any:
    """An ``onnx.ModelProto``: waveform and frames in, probabilities and logits out.

    ``network``: the graph of an artefact, features and frames in, logits out; ``info``: its
    metadata; ``least``: the fewest frames that it accepts. The graph refuses fewer, more than the
    waveform has, more than the longest piece, and samples that are NaN or infinite: then a node
    fails in any runtime, and its name says what is expected.
    """
    front = _front(module)
    _guard(front.graph, module, least)
    network = compose.add_prefix(network, _NETWORK)
    del network.metadata_props[:]
    front.ir_version = network.ir_version
    known = {(opset.domain, opset.version) for opset in front.opset_import}
    front.opset_import.extend(
        opset for opset in network.opset_import if (opset.domain, opset.version) not in known
    )
    merged = compose.merge_models(
        front,
        network,
        io_map=[("features", f"{_NETWORK}features"), ("counted", f"{_NETWORK}frames")],
    )
    _answers(merged.graph, info)
    merged.producer_name, merged.producer_version = "edgeser", ""
    return merged


def least_frames(network: Any, width: int, pad_frames: int) -> int:
    """The fewest frames that a network can hear: with fewer its output is that for no frames.

    ``network``: the graph of an artefact. Found by running it.
    """
    session = open_session(network.SerializeToString())
    noise = np.random.default_rng(0).standard_normal((1, _MAX_PROBED, width), np.float32)

    def answer(frames: int) -> Any:
        length = padded_length(max(1, frames), pad_frames)
        given = {"features": noise[:, :length], "frames": np.array([frames])}
        return session.run(["logits"], given)[0]

    nothing = answer(0)
    for frames in range(1, _MAX_PROBED // pad_frames * pad_frames):
        found = answer(frames)
        if np.isfinite(found).all() and not np.array_equal(found, nothing):
            return frames
    raise ValueError("no number of frames changes the answer of this network")


def _front(module: WaveformFrontEnd) -> Any:
    frames = module.frames
    return traced(
        module,
        {
            "waveform": torch.zeros(2, frames.history + _TRACED_FRAMES * frames.hop),
            "frames": torch.tensor([_TRACED_FRAMES, _TRACED_FRAMES - 30]),
        },
        {
            "waveform": {0: "batch", 1: "samples"},
            "frames": {0: "batch"},
            "features": {0: "batch", 1: "frames"},
            "counted": {0: "batch"},
        },
        ["features", "counted"],
    )


def _guard(graph: Any, module: WaveformFrontEnd, least: int) -> None:
    """Let all nodes take ``frames`` only after a check of their range and of the samples.

    A graph can refuse its input only by a node that fails: a Gather from a list of one zero, whose
    index is 0 if all is well and 1 if not.
    """
    frames, most = module.frames, "hops"
    for node in graph.node:
        node.input[:] = ["frames_taken" if name == "frames" else name for name in node.input]
    constants = {
        "guard_axis": np.array(1),
        "guard_zero": np.zeros(1, np.int64),
        "guard_least": np.array(least),
        "guard_history": np.array(frames.history),
        "guard_hop": np.array(frames.hop),
        "guard_finite": np.array(np.finfo(np.float32).max),
    }
    nodes = [
        helper.make_node("Shape", ["waveform"], ["guard_shape"]),
        helper.make_node("Gather", ["guard_shape", "guard_axis"], ["guard_samples"]),
        helper.make_node("Sub", ["guard_samples", "guard_history"], ["guard_heard"]),
        helper.make_node("Div", ["guard_heard", "guard_hop"], ["hops"]),
    ]
    expected = f"frames must be {least} to (samples - {frames.history}) / {frames.hop}"
    if module.longest:
        constants["guard_longest"] = np.array(module.longest)
        nodes.append(helper.make_node("Min", ["hops", "guard_longest"], ["guard_most"]))
        most = "guard_most"
        expected += f", at most {module.longest}"
    nodes += [
        helper.make_node("Less", ["frames", "guard_least"], ["guard_few"]),
        helper.make_node("Greater", ["frames", most], ["guard_many"]),
        helper.make_node("Or", ["guard_few", "guard_many"], ["guard_wrong"]),
        helper.make_node("Cast", ["guard_wrong"], ["guard_index"], to=TensorProto.INT64),
        helper.make_node("Gather", ["guard_zero", "guard_index"], ["guard_ok"], name=expected),
        helper.make_node("Add", ["frames", "guard_ok"], ["frames_in_range"]),
        # Not Greater, which is false for NaN, too.
        helper.make_node("Abs", ["waveform"], ["guard_sizes"]),
        helper.make_node("LessOrEqual", ["guard_sizes", "guard_finite"], ["guard_numbers"]),
        helper.make_node("Not", ["guard_numbers"], ["guard_junk"]),
        helper.make_node("Cast", ["guard_junk"], ["guard_junk_here"], to=TensorProto.INT64),
        helper.make_node("ReduceMax", ["guard_junk_here"], ["guard_junk_index"], keepdims=0),
        helper.make_node(
            "Gather",
            ["guard_zero", "guard_junk_index"],
            ["guard_clean"],
            name="waveform must have no NaN and no infinity",
        ),
        helper.make_node("Add", ["frames_in_range", "guard_clean"], ["frames_taken"]),
    ]
    for name, value in constants.items():
        exact = value.astype(np.int64) if value.dtype.kind == "i" else value
        graph.initializer.append(numpy_helper.from_array(exact, name))
    for node in reversed(nodes):
        graph.node.insert(0, node)


def _answers(graph: Any, info: ModelInfo) -> None:
    """Add the outputs: logits of the labels, as for an unknown voice, and their calibrated
    probabilities.
    """
    logits, labels = graph.output[0], len(info.labels)
    constants = {
        "temperature": np.array(info.temperature, np.float32),
        "shift": np.array(info.stranger_shift or 0, np.float32),
    }
    for name, value in constants.items():
        graph.initializer.append(numpy_helper.from_array(value, name))
    graph.node.extend(
        [
            helper.make_node("Add", [logits.name, "shift"], ["logits"]),
            helper.make_node("Div", ["logits", "temperature"], ["scaled"]),
            helper.make_node("Softmax", ["scaled"], ["probabilities"], axis=1),
        ]
    )
    del graph.output[:]
    for name in ("probabilities", "logits"):
        shape: list[str | int] = ["batch", labels]
        graph.output.append(helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape))
