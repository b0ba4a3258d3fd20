"""A checkpoint becomes an artefact: one ONNX file, verified before it is written."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from edgeser.errors import UserError
from edgeser.features.front_end import Floats
from edgeser.model.artefact import (
    METADATA_KEY,
    ArtefactInfo,
    Golden,
    ModelInfo,
    Noise,
    Precision,
    Tensor,
    TrainingRecord,
)
from edgeser.model.centring import Centring
from edgeser_export.artefact_file import write_artefact
from edgeser_export.golden import golden_pieces, golden_vectors
from edgeser_export.graph import onnx_graph
from edgeser_export.quantise import half
from edgeser_export.record import UNCALIBRATED, Calibration
from edgeser_export.sensitivity import measured
from edgeser_export.streaming import layout_of, stream_graph, tensors
from edgeser_export.verify import (
    Difference,
    longest_frames,
    network_of,
    torch_logits,
    verify,
)
from edgeser_export.waveform import WaveformFrontEnd
from edgeser_export.waveform_export import export_graph
from edgeser_train.models.integer_weights import IntegerWeights, LearntWeights
from edgeser_train.models.speech_model import SpeechModel
from edgeser_train.models.streaming import StreamModel
from edgeser_train.training.checkpoint import Origin, centring_of


@dataclass(frozen=True)
class Release:
    """The metadata of an artefact that is not in its checkpoint.

    ``noise``: how its noise output was trained, if it has one.
    """

    name: str
    version: str
    training: TrainingRecord
    calibration: Calibration = UNCALIBRATED
    noise: Noise | None = None


def export(
    model: SpeechModel,
    origin: Origin,
    path: Path,
    release: Release,
    *,
    precision: Precision = "fp32",
    calibration: Sequence[Floats] = (),
    symmetric: bool = False,
) -> Difference:
    """Write the artefact; return the largest difference of a logit from PyTorch's that was seen.

    ``calibration``: pieces of features of training windows, which int8 needs; ``symmetric``: with
    int8, activations have zero point 0, as TensorRT requires. Raises UserError when the graph
    differs by more than its precision allows, when ``release`` is invalid, or when the file cannot
    be written; nothing is written then.
    """
    check_precision(model, precision)
    recipe = origin.recipe
    layout = layout_of(model)
    noise_after = None if release.noise is None else len(origin.labels)
    inputs = [
        Tensor("features", ["batch", "frames", recipe.front_end.width], "float32"),
        Tensor("frames", ["batch"], "int64"),
    ]
    outputs = [Tensor("logits", ["batch", len(origin.labels)], "float32")]
    noise: list[int | str] = ["batch", 1]
    if isinstance(model, StreamModel) and layout is not None:
        graph = stream_graph(model, layout, noise_after)
        inputs, outputs = tensors(model, layout)
        noise = ["batch", layout.block_frames // layout.step_frames, 1]
    else:
        graph = onnx_graph(model, noise_after)
        if precision == "fp16":
            graph = half(graph)
        elif precision == "int8":
            graph, _ = measured(graph, calibration, recipe.window.pad_frames, symmetric=symmetric)
    if release.noise is not None:
        outputs.append(Tensor("noise", noise, "float32"))
    content = graph.SerializeToString()
    found = verify(
        content,
        model,
        longest=longest_frames(recipe.front_end, recipe.window),
        precision=precision,
        pieces=[*golden_pieces(recipe.front_end, recipe.window), *calibration],
        layout=layout,
    )
    info = ArtefactInfo(
        **_described(model, origin, release),
        inputs=inputs,
        outputs=outputs,
        precision=precision,
        streaming=layout,
        golden=golden_of(content, model, origin, precision, release.calibration.temperature),
        noise=release.noise,
    )
    write_artefact(path, graph, METADATA_KEY, info)
    return found


def export_waveform(model: SpeechModel, origin: Origin, path: Path, release: Release) -> Difference:
    """Write the variant that takes a waveform; as ``export``, always in float32.

    Here even a streaming network takes a whole piece at once.
    """
    recipe = origin.recipe
    WaveformFrontEnd(
        recipe.front_end, recipe.window
    )  # raises for a front end that no graph can compute, before any other work
    info = ModelInfo(**_described(model, origin, release), inputs=[], outputs=[], golden=[])
    network = partial(torch_logits, model)
    return export_graph(onnx_graph(model), network, info, model.min_frames, path)


def _described(model: SpeechModel, origin: Origin, release: Release) -> dict[str, Any]:
    """What the metadata of a graph of either kind says of its model."""
    return {
        "name": release.name,
        "version": release.version,
        "labels": origin.labels,
        "front_end": origin.recipe.front_end,
        "window": origin.recipe.window,
        "temperature": release.calibration.temperature,
        "abstain_below": release.calibration.abstain_below,
        "training": release.training,
        "centring": centring_with(model, origin, release.calibration),
    }


def golden_of(
    content: bytes, model: SpeechModel, origin: Origin, precision: Precision, temperature: float
) -> list[Golden]:
    """An artefact's golden vectors, by PyTorch, or in a lower precision by the graph itself."""
    full = precision == "fp32"
    network = partial(torch_logits, model) if full else network_of(content)
    recipe = origin.recipe
    return golden_vectors(network, recipe.front_end, recipe.window, temperature, len(origin.labels))


def centring_with(model: SpeechModel, origin: Origin, calibration: Calibration) -> Centring | None:
    """How an artefact's logits are centred by voice.

    Raises UserError for a calibration of strangers if the model does not centre, or has other
    labels.
    """
    centring, strangers = centring_of(model, origin), calibration.strangers
    if strangers is None:
        return centring
    if centring is None:
        raise UserError(
            "--strangers: this model does not centre by voice",
            "leave it out, or train with --recipe voices",
        )
    if sorted(strangers.shift) != sorted(origin.labels):
        raise UserError(
            f"--strangers: it is about {', '.join(strangers.shift)}, the model says "
            f"{', '.join(origin.labels)}",
            "give what `edgeser unseen RUN` wrote of a loco of this recipe",
        )
    return strangers.applied(centring, origin.labels, calibration.temperature)


def check_precision(model: SpeechModel, precision: Precision) -> None:
    """Raises UserError for a precision that the model cannot be exported in."""
    if precision == "fp32":
        return
    if isinstance(model, StreamModel):
        raise UserError(
            f"--precision {precision}: a network of streams is exported in fp32 alone",
            "leave it out: a block is so little work that integers make it slower",
        )
    if any(isinstance(module, IntegerWeights | LearntWeights) for module in model.modules()):
        raise UserError(
            f"--precision {precision}: the weights of this model are integers already",
            "leave it out",
        )
