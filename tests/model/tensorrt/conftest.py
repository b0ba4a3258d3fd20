"""A stub of NVIDIA's driver, and a cache with one engine, built with the fake TensorRT."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.model.tensorrt import stubs
from tests.model.tensorrt.running import BUILD, FAKE, Run, edgeser


@pytest.fixture(scope="session")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return stubs.driver(tmp_path_factory.mktemp("driver"))


@pytest.fixture(scope="session")
def built(driver: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache with one engine; tests that change it copy it."""
    cache = tmp_path_factory.mktemp("cache")
    done = edgeser(*BUILD, path=(FAKE,), libraries=(driver,), XDG_CACHE_HOME=str(cache))
    assert done.returncode == 0, done.stderr
    assert "golden vectors within" in done.stdout
    return cache


@pytest.fixture
def cache(built: Path, tmp_path: Path) -> Path:
    """A copy of the cache with one engine."""
    for file in (built / "edgeser" / "engines").iterdir():
        copy = tmp_path / "edgeser" / "engines" / file.name
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(file.read_bytes())
    return tmp_path


@pytest.fixture
def run(cache: Path, driver: Path) -> Run:
    def run(*words: object, **more: str) -> subprocess.CompletedProcess[str]:
        more = {"XDG_CACHE_HOME": str(cache), **more}
        return edgeser(*words, path=(FAKE,), libraries=(driver,), **more)

    return run
