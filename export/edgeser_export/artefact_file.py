"""A graph and what it says of itself become a file; and a file learns what it did not know."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import onnx

from edgeser.errors import UserError
from edgeser.model.artefact import METADATA_KEY, ModelInfo, Unseen, info_from_metadata
from edgeser_train.files import write_whole


def write_artefact(path: Path, graph: Any, key: str, info: ModelInfo) -> None:
    """Write the ``onnx.ModelProto`` with its metadata. Raises UserError for what nothing could
    load, and for a file that cannot be written; nothing is left then."""
    said = msgspec.json.encode(info)
    try:
        msgspec.json.decode(said, type=type(info))  # ranges are checked when decoding alone
    except msgspec.ValidationError as error:
        raise UserError(
            f"export: nothing could load {path}: {error}", "give a --report that this edgeser wrote"
        ) from error
    onnx.helper.set_model_props(
        graph, {p.key: p.value for p in graph.metadata_props} | {key: said.decode()}
    )
    onnx.checker.check_model(graph, full_check=True)
    write_whole(path, graph.SerializeToString())


def record_unseen(path: Path, unseen: Unseen) -> None:
    """Write into an artefact how well it does on corpora that it did not learn from.

    The graph stays as it is, and so does what the model says; the file's SHA-256 changes. Raises
    UserError for a file that cannot be written.
    """
    graph = onnx.load(path)
    info = info_from_metadata({p.key: p.value for p in graph.metadata_props}, path)
    write_artefact(path, graph, METADATA_KEY, msgspec.structs.replace(info, unseen=unseen))
