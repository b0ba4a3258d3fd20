"""NVIDIA's real Python bindings, without their libraries: installed beside the environment once."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(sys.prefix) / "bindings-for-tests"


def installed(*requirements: str) -> Path:
    """A folder to put on the path. Skips the test if pip cannot install the packages."""
    folder = FOLDER / "+".join(requirements)
    done = folder / ".complete"
    if not done.exists():
        command = [sys.executable, "-m", "pip", "install", "-q", "--disable-pip-version-check"]
        choices = ["--no-deps", "--only-binary=:all:", "--target", str(folder), "--upgrade"]
        pip = subprocess.run([*command, *choices, *requirements], capture_output=True, text=True)
        if pip.returncode:
            errors = [line for line in pip.stderr.splitlines() if line.startswith("ERROR")]
            pytest.skip(f"pip cannot install {requirements}: {(errors or ['it failed'])[-1]}")
        done.touch()
    return folder


def tensorrt(version: str) -> Path:
    """TensorRT's bindings as the package ``tensorrt``, as NVIDIA's own one-line package has it."""
    cuda = "cu12" if version == "10.3.0" else "cu13"
    folder = installed(f"tensorrt-{cuda}-bindings=={version}")
    alias = folder / "tensorrt.py"
    alias.write_text("from tensorrt_bindings import *\nfrom tensorrt_bindings import __version__\n")
    return folder


TENSORRT = ("10.3.0", "10.16.1.11", "11.0.0.114", "11.4.0.106")
CUDA = ("12.9.10", "13.5.0")


def cuda(version: str) -> Path:
    """The package cuda-python's bindings."""
    return installed(f"cuda-bindings=={version}", "cuda-pathfinder==1.9.0")
