"""The fixtures of training, used here, too, and an artefact."""

from pathlib import Path

import pytest

from edgeser_export.onnx_export import export
from tests.export.models import RELEASE, small
from tests.train.conftest import _one_thread, _same_draws, cache, emodb, tiny_run

__all__ = ["_one_thread", "_same_draws", "cache", "emodb", "tiny_run"]


@pytest.fixture(scope="module")
def artefact(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The artefact of a small lightweight model with random weights."""
    path = tmp_path_factory.mktemp("artefact") / "small.onnx"
    export(*small("lightweight"), path, RELEASE)
    return path
