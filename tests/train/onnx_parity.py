"""A model's graph as the exporter makes it, run with ONNX Runtime beside the model itself."""

from __future__ import annotations

import numpy as np
import onnxruntime
import torch

from edgeser_export.graph import onnx_graph
from edgeser_train.models import SpeechModel


def session(model: SpeechModel) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    graph = onnx_graph(model).SerializeToString()
    return onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])


def difference(
    running: onnxruntime.InferenceSession, model: SpeechModel, features: torch.Tensor, frames: list
) -> float:
    """Largest difference of a logit; ``features`` (batch, frames, width)."""
    lengths = torch.tensor(frames)
    with torch.inference_mode():
        expected = model(features, lengths).numpy()
    (got,) = running.run(["logits"], {"features": features.numpy(), "frames": lengths.numpy()})
    assert got.dtype == np.float32
    assert got.shape == expected.shape
    return float(np.abs(got - expected).max())
