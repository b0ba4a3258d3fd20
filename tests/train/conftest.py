"""Corpora for the tests of training."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.train.synthetic import make_emodb


@pytest.fixture(scope="session")
def emodb(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A synthetic Emo-DB, complete in the four classes."""
    return make_emodb(tmp_path_factory.mktemp("emodb"))


@pytest.fixture(scope="session")
def real_emodb() -> Path:
    """The real recordings of the four classes, where they are at hand."""
    folder = Path(os.environ.get("EDGESER_DATA", "../shared/data")) / "emodb4"
    if not folder.is_dir():
        pytest.skip(f"no {folder}: set EDGESER_DATA to the folder of the corpora")
    return folder
