"""The shared GRU for devices: input projected once, recurrent weights stored once."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import onnx
import torch
from torch import Tensor, nn

from edgeser_export.dequantised import dequantised
from edgeser_train.models.lightweight import SharedBiGRU, _rows
from edgeser_train.models.speech_model import SpeechModel


class ProjectedBiGRU(nn.Module):
    """``SharedBiGRU`` with its input weights taken out, into one matrix product before it.

    Both directions have the same inputs and weights, so the product is computed once for the two,
    and can be quantised, which ONNX's GRU cannot. The input weights that remain in the GRU are an
    identity matrix: multiplying by it is exact.
    """

    def __init__(self, source: SharedBiGRU) -> None:
        super().__init__()
        gru = source.gru
        hidden = gru.hidden_size
        gates = torch.arange(3 * hidden).reshape(3, hidden)
        order = gates[[1, 0, 2]].flatten()  # PyTorch: reset, update, new; ONNX: update, reset, new
        self.project = nn.Linear(gru.input_size, 3 * hidden)
        self.gru = nn.GRU(3 * hidden, hidden, batch_first=True)
        held = gru.state_dict()
        self.project.load_state_dict(
            {"weight": held["weight_ih_l0"][order], "bias": held["bias_ih_l0"][order]}
        )
        self.gru.load_state_dict(
            {
                **held,
                "weight_ih_l0": torch.eye(3 * hidden)[order],
                "bias_ih_l0": torch.zeros(3 * hidden),
            }
        )

    def forward(self, x: Tensor, steps: Tensor) -> Tensor:
        """(batch, time, inputs), (batch,) -> (batch, time, 2 * hidden); junk after ``steps``."""
        batch, time = x.shape[0], x.shape[1]
        x = self.project(x)
        turned = not_negative(steps[:, None] - 1 - torch.arange(time, device=x.device))
        rows = turned + time * torch.arange(batch, device=x.device)[:, None]
        both, _ = self.gru(torch.cat((x, _rows(x, rows))))
        return torch.cat((both[:batch], _rows(both[batch:], rows)), dim=2)


def not_negative(places: Tensor) -> Tensor:
    """Integers, negative ones set to 0; not by clamp, whose Clip TensorRT documents only for
    floats.
    """
    return places.where(places > 0, 0)


def prepared(model: SpeechModel) -> SpeechModel:
    """A copy for inference: its shared GRUs are projected ones, its integer weights traceable."""
    twin = copy.deepcopy(model).eval()
    dequantised(twin)
    for parent in list(twin.modules()):
        for name, child in parent.named_children():
            if isinstance(child, SharedBiGRU):
                setattr(parent, name, ProjectedBiGRU(child))
    return twin


def without_identities(graph: Any) -> None:
    """Replace a GRU's identity matrix by nodes that make it on loading: 590 kB less in the file."""
    held = {tensor.name: tensor for tensor in graph.graph.initializer}
    made = []
    for node in graph.graph.node:
        if node.op_type != "GRU" or node.input[1] not in held:
            continue
        tensor = held[node.input[1]]
        weights = onnx.numpy_helper.to_array(tensor)
        size = weights.shape[-1]
        if not np.array_equal(weights, np.eye(size, dtype=np.float32)[None]):
            continue
        name = tensor.name
        graph.graph.initializer.remove(tensor)
        for suffix, values in (("shape", [size, size]), ("axes", [0])):
            graph.graph.initializer.append(
                onnx.numpy_helper.from_array(np.array(values, np.int64), f"{name}_{suffix}")
            )
        zero = onnx.numpy_helper.from_array(np.zeros(1, np.float32))
        made += [
            onnx.helper.make_node("ConstantOfShape", [f"{name}_shape"], [f"{name}_0"], value=zero),
            onnx.helper.make_node("EyeLike", [f"{name}_0"], [f"{name}_1"]),
            onnx.helper.make_node("Unsqueeze", [f"{name}_1", f"{name}_axes"], [name]),
        ]
    for node in reversed(made):
        graph.graph.node.insert(0, node)
