"""A checkpoint becomes an artefact: one ONNX file, verified before it is written."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgeser.errors import UserError
from edgeser.features.front_end import Floats
from edgeser.model.artefact import (
    METADATA_KEY,
    ArtefactInfo,
    ModelInfo,
    Noise,
    Precision,
    Tensor,
    TrainingRecord,
)
from edgeser.model.centring import Centring
from edgeser_export.artefact_file import write_artefact
from edgeser_export.golden import Network, golden_pieces, golden_vectors
from edgeser_export.graph import onnx_graph
from edgeser_export.quantise import half
from edgeser_export.sensitivity import int8
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
from edgeser_train.evaluation.unknown_voice_calibration import UnknownVoiceCalibration
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
    temperature: float
    abstain_below: float
    training: TrainingRecord
    strangers: UnknownVoiceCalibration | None = None
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
    pad_frames = recipe.window.pad_frames
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
        plain = onnx_graph(model, noise_after)
        graph = variant(plain, precision, calibration, pad_frames, symmetric=symmetric)
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
        name=release.name,
        version=release.version,
        labels=origin.labels,
        front_end=recipe.front_end,
        window=recipe.window,
        inputs=inputs,
        outputs=outputs,
        temperature=release.temperature,
        abstain_below=release.abstain_below,
        training=release.training,
        precision=precision,
        centring=centring_with(model, origin, release.strangers, release.temperature),
        streaming=layout,
        golden=golden_vectors(
            reference(model, content, precision),
            recipe.front_end,
            recipe.window,
            release.temperature,
            len(origin.labels),
        ),
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
    info = ModelInfo(
        name=release.name,
        version=release.version,
        labels=origin.labels,
        front_end=recipe.front_end,
        window=recipe.window,
        inputs=[],
        outputs=[],
        temperature=release.temperature,
        abstain_below=release.abstain_below,
        training=release.training,
        centring=centring_with(model, origin, release.strangers, release.temperature),
        golden=[],
    )
    network = reference(model, b"", "fp32")
    return export_graph(onnx_graph(model), network, info, model.min_frames, path)


def centring_with(
    model: SpeechModel,
    origin: Origin,
    strangers: UnknownVoiceCalibration | None,
    temperature: float,
) -> Centring | None:
    """How an artefact's logits, which are divided by ``temperature``, are centred by voice.

    Raises UserError for ``strangers`` if the model does not centre, or has other labels.
    """
    centring = centring_of(model, origin)
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
    return strangers.applied(centring, origin.labels, temperature)


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


def variant(
    graph: Any,
    precision: Precision,
    calibration: Sequence[Floats],
    pad_frames: int,
    *,
    symmetric: bool = False,
) -> Any:
    """The graph in a precision."""
    if precision == "fp16":
        return half(graph)
    if precision == "int8":
        return int8(graph, calibration, pad_frames, symmetric=symmetric)
    return graph


def reference(model: SpeechModel, content: bytes, precision: Precision) -> Network:
    """What computes the golden vectors: PyTorch, or in a lower precision the graph itself."""
    if precision == "fp32":
        return lambda features, frames: torch_logits(model, features, frames)
    return network_of(content)
