"""The graph of a streaming network: a block and a state in, votes and the next state out."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from edgeser.features.front_end import Floats
from edgeser.features.pieces import Lengths, padded_length
from edgeser.model.artefact import StreamLayout
from edgeser.model.artefact import Tensor as TensorInfo
from edgeser_export.graph import traced
from edgeser_train.models.speech_model import SpeechModel
from edgeser_train.models.streaming import StreamModel

BLOCK_STEPS = 5
"""Half a second: the usual hop is one block, and the first window, of a second, two."""

OUTPUTS = ("votes", "weights", "next_state")


def layout_of(model: SpeechModel) -> StreamLayout | None:
    """How the runtime feeds a model's graph; None if it is not a streaming network."""
    if not isinstance(model, StreamModel):
        return None
    return StreamLayout(BLOCK_STEPS * model.stride, model.stride, model.state_size)


def stream_graph(model: StreamModel, layout: StreamLayout, noise_after: int | None = None) -> Any:
    """The model as an ``onnx.ModelProto``, for any batch and blocks of one length. With
    ``noise_after`` (the number of labels) the vote on noise after these is an output of its own.
    """
    outputs = OUTPUTS if noise_after is None else (*OUTPUTS, "noise")
    return traced(
        _Block(model, noise_after),
        {
            "features": torch.zeros(2, layout.block_frames, len(model.mean)),
            "state": torch.zeros(2, layout.state),
        },
        {name: {0: "batch"} for name in ("features", "state", *outputs)},
        list(outputs),
    )


def tensors(model: StreamModel, layout: StreamLayout) -> tuple[list[TensorInfo], list[TensorInfo]]:
    """The graph's inputs and outputs, except noise, as its metadata names them."""
    steps = layout.block_frames // layout.step_frames
    state: list[int | str] = ["batch", layout.state]
    return (
        [
            TensorInfo("features", ["batch", layout.block_frames, len(model.mean)], "float32"),
            TensorInfo("state", state, "float32"),
        ],
        [
            TensorInfo("votes", ["batch", steps, model.labels], "float32"),
            TensorInfo("weights", ["batch", steps], "float32"),
            TensorInfo("next_state", state, "float32"),
        ],
    )


def streamed(session: Any, layout: StreamLayout, features: Floats, frames: Lengths) -> Floats:
    """Logits (batch, labels) of whole segments (batch, frames, width), (batch,), given to a graph
    block by block.
    """
    size = layout.block_frames
    length = padded_length(features.shape[1], size)
    features = np.pad(features, ((0, 0), (0, length - features.shape[1]), (0, 0)))
    state = np.zeros((len(features), layout.state), np.float32)
    votes, weights = [], []
    also = [output.name for output in session.get_outputs() if output.name == "noise"]
    for first in range(0, length, size):
        block = {"features": features[:, first : first + size], "state": state}
        vote, weight, state, *noise = session.run([*OUTPUTS, *also], block)
        votes.append(np.concatenate((vote, *noise), axis=2))
        weights.append(weight)
    every = np.concatenate(weights, axis=1).astype(np.float64)
    steps = np.arange(every.shape[1]) < frames[:, None] // layout.step_frames
    every = np.where(steps, every, 0)[:, :, None]
    counted = np.where(steps[:, :, None], np.concatenate(votes, axis=1), 0)
    logits: Floats = ((every * counted).sum(axis=1) / every.sum(axis=1)).astype(np.float32)
    return logits


class _Block(nn.Module):
    def __init__(self, model: StreamModel, noise_after: int | None) -> None:
        super().__init__()
        self.model = model
        self.noise_after = noise_after

    def forward(self, features: Tensor, state: Tensor) -> tuple[Tensor, ...]:
        votes, weights, after = self.model.stream(features, state)
        if self.noise_after is None:
            return votes, weights, after
        return votes[..., : self.noise_after], weights, after, votes[..., self.noise_after :]
