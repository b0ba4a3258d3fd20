"""A model that cannot be had is refused in one line."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from edgeser.model.artefact import ArtefactError, model_path, shipped_models
from tests.system.daemons import edgeser

NOBODY = 65_534


def test_a_name_that_no_file_can_have() -> None:
    name = "n" * 300
    said = f"edgeser: model '{name}': cannot be read: File name too long"
    assert edgeser("models", name).refusal == said
    assert edgeser("run", "--model", name).refusal == said


def test_a_folder_that_may_not_be_entered(tmp_path: Path) -> None:
    folder = tmp_path / "closed"
    folder.mkdir(mode=0)
    file = folder / "model.onnx"
    with unprivileged(), pytest.raises(ArtefactError) as raised:
        model_path(str(file))
    assert str(raised.value) == f"model '{file}': cannot be read: Permission denied"


@contextmanager
def unprivileged() -> Iterator[None]:
    """Not root, whom no folder keeps out."""
    user = os.geteuid()
    shipped_models()  # imports what nobody may not
    if user == 0:
        os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(user)
