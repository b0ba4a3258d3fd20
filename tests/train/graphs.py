"""Models made hard to please, and their graphs held against them."""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np
import pytest
import torch

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


def assert_onnx_agrees(model: SpeechModel, lengths: Sequence[int]) -> None:
    """One graph, exported at a length of its own, at every length with batches of 1 and 4.

    In the batch of 4 the utterances differ in length; the shortest is as short as ``lengths``'.
    """
    ort = pytest.importorskip("onnxruntime")
    model.eval()
    width = len(model.mean)
    with warnings.catch_warnings(), tempfile.TemporaryDirectory() as folder:
        warnings.simplefilter("ignore")
        path = Path(folder) / "graph.onnx"
        torch.onnx.export(
            model,
            (torch.randn(2, 120, width), torch.tensor([120, 90])),
            path,
            dynamo=False,
            opset_version=17,
            input_names=["features", "frames"],
            output_names=["logits"],
            dynamic_axes={
                "features": {0: "batch", 1: "frames"},
                "frames": {0: "batch"},
                "logits": {0: "batch"},
            },
        )
        session = ort.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    for length in lengths:
        for batch in (1, 4):
            features = torch.randn(batch, length, width)
            frames = torch.linspace(length, min(lengths), batch).long()
            with torch.inference_mode():
                expected = model(features, frames).numpy()
            (logits,) = session.run(None, {"features": features.numpy(), "frames": frames.numpy()})
            np.testing.assert_allclose(logits, expected, rtol=0, atol=TOLERANCE)
