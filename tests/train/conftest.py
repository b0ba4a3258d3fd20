"""Corpora for the tests of training."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from click.testing import CliRunner

from edgeser.cli import main
from tests.train.synthetic import make_emodb, tiny_settings


@pytest.fixture(scope="session")
def emodb(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A synthetic Emo-DB, complete in the four classes."""
    return make_emodb(tmp_path_factory.mktemp("emodb"))


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the tests share the frames of the synthetic corpus."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="session")
def tiny_run(emodb: Path, cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the model.pt of a tiny model, and in ``loso`` two folds and their report."""
    folder = tmp_path_factory.mktemp("run")
    fixed = ["--corpus", f"emodb={emodb}", "--cache", str(cache), *tiny_settings()]
    for words in (
        ["train", *fixed, "-o", str(folder)],
        ["evaluate", *fixed, "--folds", "03,08", "-o", str(folder / "loso")],
    ):
        done = CliRunner().invoke(main, words)
        assert done.exit_code == 0, done.output
    return folder


@pytest.fixture
def common(emodb: Path, cache: Path, tmp_path: Path) -> tuple[object, ...]:
    """Options of a training or evaluation of a tiny model; the output goes to ``run``."""
    where = ("--corpus", f"emodb={emodb}", "--cache", cache, "-o", tmp_path / "run")
    return (*where, *tiny_settings())


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    """Threads only get in each other's way with models this small."""
    torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def _same_draws() -> None:
    """Every run draws the same weights and the same data."""
    torch.manual_seed(0)
