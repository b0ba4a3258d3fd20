"""A checkpoint becomes an artefact: one ONNX file, verified before it is written."""

from __future__ import annotations

import tempfile
import warnings
from pathlib import Path
from typing import Any

import msgspec
import onnx
import torch

from edgeser.features.frames import features_of
from edgeser.model.artefact import (
    METADATA_KEY,
    ArtefactInfo,
    Golden,
    Tensor,
    TrainingRecord,
    WindowPolicy,
)
from edgeser.model.golden import waveform
from edgeser_export.verify import verify
from edgeser_train.checkpoint import Origin
from edgeser_train.files import write_whole
from edgeser_train.models.lightweight import Lightweight

OPSET = 17
GOLDEN = ((1, 1.0), (2, 2.5), (3, 4.0), (4, 7.0))
"""Seed and seconds of each golden vector."""


def export(
    model: Lightweight,
    origin: Origin,
    path: Path,
    *,
    name: str,
    version: str,
    temperature: float,
    abstain_below: float,
    training: TrainingRecord,
) -> float:
    """Write the artefact; return the largest difference of a logit from PyTorch's that was seen.

    Raises UserError when the graph differs by more than 1e-4 anywhere, or cannot be written.
    Nothing is written then.
    """
    mels = origin.recipe.front_end.mels
    graph = onnx_graph(model, mels)
    difference = verify(graph.SerializeToString(), model, mels)
    info = ArtefactInfo(
        name=name,
        version=version,
        labels=origin.labels,
        front_end=origin.recipe.front_end,
        window=WindowPolicy(),
        inputs=[
            Tensor("features", ["batch", "frames", mels], "float32"),
            Tensor("frames", ["batch"], "int64"),
        ],
        outputs=[Tensor("logits", ["batch", len(origin.labels)], "float32")],
        temperature=temperature,
        abstain_below=abstain_below,
        training=training,
        golden=golden_vectors(model, origin, temperature),
    )
    entry = graph.metadata_props.add()
    entry.key, entry.value = METADATA_KEY, msgspec.json.encode(info).decode()
    onnx.checker.check_model(graph, full_check=True)
    write_whole(path, graph.SerializeToString())
    return difference


def onnx_graph(model: Lightweight, mels: int) -> Any:
    """The model as an ``onnx.ModelProto`` with dynamic batch and time.

    The older exporter on purpose: torch 2.13's dynamo exporter freezes the length of a GRU.
    """
    features = torch.zeros(2, 120, mels)
    frames = torch.tensor([120, 90])
    with warnings.catch_warnings(), tempfile.TemporaryDirectory() as folder:
        warnings.simplefilter("ignore")
        path = Path(folder) / "graph.onnx"
        torch.onnx.export(
            model.eval(),
            (features, frames),
            path,
            dynamo=False,
            opset_version=OPSET,
            input_names=["features", "frames"],
            output_names=["logits"],
            dynamic_axes={
                "features": {0: "batch", 1: "frames"},
                "frames": {0: "batch"},
                "logits": {0: "batch"},
            },
        )
        graph = onnx.load(path)
    graph.producer_name, graph.producer_version = "edgeser", ""
    return graph


def golden_vectors(model: Lightweight, origin: Origin, temperature: float) -> list[Golden]:
    """Calibrated scores of the test sounds, computed with PyTorch."""
    vectors = []
    for seed, seconds in GOLDEN:
        features = features_of(waveform(seed, seconds), origin.recipe.front_end)
        with torch.inference_mode():
            logits = model(torch.from_numpy(features)[None], torch.tensor([len(features)]))[0]
        scores = torch.softmax(logits.double() / temperature, dim=0)
        vectors.append(Golden(seed, seconds, [round(float(s), 6) for s in scores]))
    return vectors
