"""No GPU, no library, a version that does not fit: one line each, and nothing loaded in vain."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.model.tensorrt import stubs, wheels
from tests.model.tensorrt.running import edgeser, python

BUILD = ("engine", "build", "lightweight-emodb")
SPEECH = Path(__file__).parents[3] / "edge" / "edgeser" / "bench" / "speech.flac"


def fake_version(folder: Path, version: str) -> Path:
    """A package ``tensorrt`` that has a version and nothing else."""
    folder.mkdir()
    (folder / "tensorrt.py").write_text(f"__version__ = {version!r}\n")
    return folder


def one_line(text: str) -> str:
    assert text.startswith("edgeser: "), text
    assert text.count("\n") == 1, text
    return text


def test_without_a_driver_it_says_so_and_loads_nothing_of_nvidia(tmp_path: Path) -> None:
    told = fake_version(tmp_path / "package", "10.3.0")
    for words in (
        BUILD,
        ("predict", "--model", "lightweight-emodb", "--backend", "tensorrt", SPEECH),
    ):
        done = edgeser(*words, path=(told,))
        assert done.returncode == 2
        assert "no NVIDIA driver: libcuda.so.1 is not installed" in one_line(done.stderr)
    code = (
        "import sys, edgeser\n"
        "model = edgeser.load_model('lightweight-emodb')\n"
        "print(model.backend.name, '|', model.reason, '|', model.fell_back)\n"
        "print(sorted({'tensorrt', 'cuda'} & set(sys.modules)))"
    )
    done = python("-c", code, path=(told,))
    name, loaded = done.stdout.splitlines()
    assert name == "onnxruntime/CPU | no NVIDIA driver: libcuda.so.1 is not installed | False"
    assert loaded == "[]"


def test_a_driver_without_a_gpu_is_found_before_tensorrt_is_loaded(tmp_path: Path) -> None:
    for kind, said in (
        ({"init": 100}, "no working NVIDIA GPU: cuInit says 'no CUDA-capable device' (100)"),
        ({"count": 0}, "no NVIDIA GPU: the driver finds none"),
    ):
        driver = stubs.driver(tmp_path / next(iter(kind)), **kind)
        done = edgeser(*BUILD, libraries=(driver,))
        assert done.returncode == 2
        assert said in one_line(done.stderr)


def test_a_gpu_without_tensorrt(tmp_path: Path) -> None:
    done = edgeser(*BUILD, libraries=(stubs.driver(tmp_path),))
    assert done.returncode == 2
    assert "the Python package tensorrt is not installed; pip install" in one_line(done.stderr)


@pytest.mark.parametrize("version", ["8.6.1", "10.2.0", "12.0.0"])
def test_a_version_that_does_not_fit(tmp_path: Path, version: str) -> None:
    package = fake_version(tmp_path / "package", version)
    done = edgeser(*BUILD, path=(package,), libraries=(stubs.driver(tmp_path / "driver"),))
    assert done.returncode == 2
    assert f"TensorRT {version}: edgeser needs 10.3 to 11.x" in one_line(done.stderr)


def test_tensorrt_without_its_libraries(tmp_path: Path) -> None:
    bindings = wheels.tensorrt(wheels.TENSORRT[0])
    done = edgeser(*BUILD, path=(bindings,), libraries=(stubs.driver(tmp_path),))
    assert done.returncode == 2
    assert "TensorRT cannot be loaded: libnv" in one_line(done.stderr)


@pytest.mark.parametrize("version", wheels.TENSORRT)
def test_tensorrt_that_makes_no_builder(tmp_path: Path, version: str) -> None:
    """The real bindings, with libraries that give nothing: as far as this machine can go."""
    major = int(version.partition(".")[0])
    libraries = (stubs.driver(tmp_path / "cuda"), stubs.nvinfer(tmp_path / "nvinfer", major))
    done = edgeser(*BUILD, path=(wheels.tensorrt(version),), libraries=libraries)
    assert done.returncode == 2
    assert "TensorRT cannot build an engine: " in one_line(done.stderr)
