"""Writes a graph and its metadata as an artefact."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import onnx

from edgeser.errors import UserError
from edgeser.model.artefact import ModelInfo
from edgeser_train.files import write_whole


def write_artefact(path: Path, graph: Any, key: str, info: ModelInfo) -> None:
    """Write the ``onnx.ModelProto`` with its metadata. Raises UserError for metadata that nothing
    could load, and for a file that cannot be written; nothing is left then."""
    encoded = msgspec.json.encode(info)
    try:
        msgspec.json.decode(encoded, type=type(info))  # msgspec checks ranges only when decoding
    except msgspec.ValidationError as error:
        raise UserError(
            f"export: no edgeser could load {path}: {error}",
            "give a --report that this edgeser wrote",
        ) from error
    entry = graph.metadata_props.add()
    entry.key, entry.value = key, encoded.decode()
    onnx.checker.check_model(graph, full_check=True)
    write_whole(path, graph.SerializeToString())
