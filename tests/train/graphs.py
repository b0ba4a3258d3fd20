"""Models with awkward statistics, and comparison of their graphs with them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

import numpy as np
import onnxruntime
import torch

from edgeser_export.graph import onnx_graph
from edgeser_train.models.speech_model import SpeechModel

TOLERANCE = 1e-4
Model = TypeVar("Model", bound=SpeechModel)


def spoilt_statistics(model: Model, seed: int = 0) -> Model:
    """The model with offsets and running statistics that make padding non-zero everywhere."""
    torch.manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim == 1:
                parameter.add_(0.3 * torch.randn_like(parameter))
        for module in model.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.running_mean.normal_(std=0.3)
                module.running_var.uniform_(0.5, 2)
        model.mean.normal_()
        model.std.uniform_(0.5, 2)
    return model


def session(model: SpeechModel) -> Any:
    """The exported graph of a model in ONNX Runtime."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    graph = onnx_graph(model).SerializeToString()
    return onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])


def assert_agrees(
    running: Any, model: SpeechModel, features: torch.Tensor, lengths: Sequence[int]
) -> None:
    """Assert that graph and model give the same logits; ``features`` (batch, frames, width)."""
    frames = torch.tensor(lengths)
    with torch.inference_mode():
        expected = model(features, frames).numpy()
    (got,) = running.run(["logits"], {"features": features.numpy(), "frames": frames.numpy()})
    assert got.dtype == np.float32
    np.testing.assert_allclose(got, expected, rtol=0, atol=TOLERANCE)


def assert_onnx_agrees(model: SpeechModel, lengths: Sequence[int]) -> None:
    """Assert that a model's graph agrees with it at every length, with batches of 1 and 4.

    The utterances of a batch of 4 differ in length, down to the shortest of ``lengths``.
    """
    model.eval()
    running = session(model)
    for length in lengths:
        for batch in (1, 4):
            features = torch.randn(batch, length, len(model.mean))
            frames = torch.linspace(length, min(lengths), batch).long().tolist()
            assert_agrees(running, model, features, frames)
