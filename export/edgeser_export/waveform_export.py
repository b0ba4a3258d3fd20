"""Exports the variant of a checkpoint or an artefact that takes a waveform."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import onnx

from edgeser.errors import UserError
from edgeser.model.artefact import WAVEFORM_KEY, ModelInfo, Tensor, info_from_metadata, model_path
from edgeser.model.model import load_model
from edgeser_export.artefact_file import write_artefact
from edgeser_export.golden import Network
from edgeser_export.verify import Difference, network_of
from edgeser_export.waveform import WaveformFrontEnd
from edgeser_export.waveform_graph import least_frames, waveform_graph
from edgeser_export.waveform_info import (
    WaveformInfo,
    verify_waveform,
    waveform_golden,
    with_shift,
)


def waveform_of_artefact(name_or_file: str, path: Path) -> Difference:
    """Put the front end of an artefact, by its name or file, in front of its network.

    Returns the largest difference seen of a logit from the network fed with features. Raises
    UserError for something else than an artefact, for one that is not in fp32 or is streaming, and
    as ``export_graph`` does.
    """
    loaded = load_model(name_or_file).info  # this checks its golden vectors
    if loaded.precision != "fp32":
        raise UserError(
            f"export: {name_or_file} is {loaded.precision}, and a front end needs fp32",
            "name the model in fp32",
        )
    if loaded.streaming is not None:
        raise UserError(
            f"export: {name_or_file} takes a block and a state, and a front end needs whole pieces",
            "name the checkpoint that it was made of",
        )
    file = model_path(name_or_file)
    graph = onnx.load(file)
    info = info_from_metadata({entry.key: entry.value for entry in graph.metadata_props}, file)
    least = least_frames(graph, info.front_end.width, info.window.pad_frames)
    return export_graph(graph, network_of(graph.SerializeToString()), info, least, path)


_SHARED = (
    *("name", "version", "labels", "front_end", "window"),
    *("temperature", "abstain_below", "training", "centring"),
)
"""The metadata that a variant takes over."""


def export_graph(
    graph: Any, network: Network, info: ModelInfo, min_frames: int, path: Path
) -> Difference:
    """Write the variant of a ``graph`` that takes features.

    ``network``: a function equal to the graph; ``info``: the graph's metadata. Returns the largest
    difference of a logit that was seen. Raises UserError for a front end that no graph can compute,
    when the variant differs by more than 1e-4 from the network, or a score by more than 1e-3 from
    the daemon's, and when it cannot be written.
    """
    module = WaveformFrontEnd(info.front_end, info.window)
    whole = waveform_graph(module, graph, info, min_frames)
    network = with_shift(network, info)
    labels = len(info.labels)
    waveform_info = WaveformInfo(
        **{field: getattr(info, field) for field in _SHARED},
        sample_rate=info.front_end.sample_rate,
        hop=info.front_end.hop,
        history=info.front_end.history,
        min_frames=min_frames,
        inputs=[
            Tensor("waveform", ["batch", "samples"], "float32"),
            Tensor("frames", ["batch"], "int64"),
        ],
        outputs=[
            Tensor("probabilities", ["batch", labels], "float32"),
            Tensor("logits", ["batch", labels], "float32"),
        ],
        golden=waveform_golden(network, info),
    )
    found = verify_waveform(whole.SerializeToString(), network, waveform_info)
    write_artefact(path, whole, WAVEFORM_KEY, waveform_info)
    return found
