"""A PyTorch module as an ONNX graph with dynamic batch and time."""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import onnx
import torch
from torch import Tensor, nn

from edgeser_export.projected_gru import prepared, without_identities
from edgeser_train.models.speech_model import SpeechModel

OPSET = 17
_TRACED_FRAMES = 120


def onnx_graph(model: SpeechModel, noise_after: int | None = None) -> Any:
    """The model as an ``onnx.ModelProto``: features and frames in, logits out. With ``noise_after``
    (the number of labels) the logit of noise after these is an output of its own.
    """
    length = max(_TRACED_FRAMES, model.min_frames)
    features = torch.zeros(2, length, len(model.mean))
    frames = torch.tensor([length, max(model.min_frames, length - 30)])
    outputs = ["logits"] if noise_after is None else ["logits", "noise"]
    return traced(
        prepared(model) if noise_after is None else _NoiseApart(prepared(model), noise_after),
        {"features": features, "frames": frames},
        {
            "features": {0: "batch", 1: "frames"},
            "frames": {0: "batch"},
            **{name: {0: "batch"} for name in outputs},
        },
        outputs,
    )


def traced(
    module: nn.Module,
    inputs: Mapping[str, Tensor],
    dynamic: Mapping[str, Mapping[int, str]],
    outputs: list[str],
) -> Any:
    """A module's graph, traced with ``inputs``; ``dynamic`` names the axes of variable size.

    Uses the older exporter on purpose: torch 2.13's dynamo exporter fixes the length of a GRU.
    """
    with warnings.catch_warnings(), tempfile.TemporaryDirectory() as folder:
        warnings.simplefilter("ignore")
        path = Path(folder) / "graph.onnx"
        torch.onnx.export(
            module.eval(),
            tuple(inputs.values()),
            path,
            dynamo=False,
            opset_version=OPSET,
            input_names=list(inputs),
            output_names=outputs,
            dynamic_axes={name: dict(axes) for name, axes in dynamic.items()},
        )
        graph = onnx.load(path)
    without_identities(graph)
    graph.producer_name, graph.producer_version = "edgeser", ""
    return graph


class _NoiseApart(nn.Module):
    """A network with its logits of the labels and of noise as two outputs."""

    def __init__(self, network: nn.Module, labels: int) -> None:
        super().__init__()
        self.network = network
        self.labels = labels

    def forward(self, features: Tensor, frames: Tensor) -> tuple[Tensor, Tensor]:
        answer = self.network(features, frames)
        return answer[:, : self.labels], answer[:, self.labels :]
