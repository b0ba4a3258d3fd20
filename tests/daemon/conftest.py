"""A model that learns voices, and a place where they are kept."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgeser.baselines.store import BaselineStore
from edgeser.model.model import Model, load_model
from tests.baselines.learner import learner


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    return load_model(str(learner(tmp_path_factory.mktemp("model"))))


@pytest.fixture
def store(tmp_path: Path) -> BaselineStore:
    return BaselineStore(tmp_path / "baselines")
