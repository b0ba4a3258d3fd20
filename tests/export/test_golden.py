"""Golden vectors detect a file whose input or output differs from the exported one's."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnx
import pytest

from edgeser.model.artefact import (
    ArtefactError,
    model_path,
)
from edgeser.model.model import load_model
from tests.model.artefacts import changed

FAULTS: dict[str, Callable[[dict[str, Any]], None]] = {
    "another mel table": lambda tree: tree["front_end"].update(mel_scale="htk"),
    "swapped labels": lambda tree: [golden["scores"].reverse() for golden in tree["golden"]],
    "one frame earlier": lambda tree: tree["front_end"].update(lookback=640),
    "another normalisation": lambda tree: tree["front_end"].update(normalise="level"),
    "another cut": lambda tree: tree["window"].update(cut="centre", frames=60),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_golden_vectors_catch_a_changed_file(fault: str, tmp_path: Path) -> None:
    path = changed(model_path("lightweight-emodb"), tmp_path, FAULTS[fault])
    with pytest.raises(ArtefactError, match="deviates from its golden vectors") as caught:
        load_model(str(path))
    assert "\n" not in str(caught.value)


def test_golden_vectors_catch_swapped_outputs(tmp_path: Path) -> None:
    graph = onnx.load(model_path("lightweight-emodb"))
    head = [node for node in graph.graph.node if node.op_type == "Gemm"][-1]
    for tensor in graph.graph.initializer:
        if tensor.name in head.input[1:]:
            values = onnx.numpy_helper.to_array(tensor)[[1, 0, 2, 3]]
            tensor.CopyFrom(onnx.numpy_helper.from_array(values, tensor.name))
    onnx.save(graph, tmp_path / "swapped.onnx")
    with pytest.raises(ArtefactError, match="deviates from its golden vectors"):
        load_model(str(tmp_path / "swapped.onnx"))
