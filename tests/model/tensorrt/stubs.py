"""Shared libraries, compiled on the spot, that stand in for NVIDIA's so that their callers load."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

ENTRY_POINTS = (
    "createInferBuilder_INTERNAL",
    "createInferRefitter_INTERNAL",
    "createInferRuntime_INTERNAL",
    "createNvOnnxParserRefitter_INTERNAL",
    "createNvOnnxParser_INTERNAL",
    "getBuilderPluginRegistry",
    "getNvOnnxParserVersion",
    "getPluginRegistry",
    "initLibNvInferPlugins",
)

DRIVER = """
#include <string.h>
int cuInit(unsigned flags) { return INIT; }
int cuDeviceGetCount(int *count) { *count = COUNT; return 0; }
int cuDeviceGet(int *device, int ordinal) { *device = ordinal; return 0; }
int cuDeviceGetName(char *name, int size, int device) { strncpy(name, NAME, size); return 0; }
int cuDeviceGetAttribute(int *value, int attribute, int device) {
    *value = attribute == 75 ? 8 : attribute == 76 ? 7 : -1;
    return 0;
}
int cuGetErrorString(int code, const char **text) { *text = "no CUDA-capable device"; return 0; }
"""


def compiled(source: str, library: Path, *options: str) -> None:
    """A shared library of C source. Skips the test where there is no compiler."""
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler (cc) here to make stub libraries with")
    library.parent.mkdir(parents=True, exist_ok=True)
    subprocess.run(
        [compiler, "-shared", "-fPIC", "-x", "c", "-", "-o", library, *options],
        input=source,
        text=True,
        check=True,
    )


def driver(folder: Path, *, init: int = 0, count: int = 1, name: str = "Orin") -> Path:
    """A folder with a libcuda that knows ``count`` GPUs, or whose cuInit fails with ``init``."""
    defines = (f"-DINIT={init}", f"-DCOUNT={count}", f'-DNAME="{name}"')
    compiled(DRIVER, folder / "libcuda.so.1", *defines)
    return folder


def nvinfer(folder: Path, major: int) -> Path:
    """A folder with the three libraries that TensorRT's bindings need; they make no objects."""
    source = "\n".join(f"void *{name}(void) {{ return 0; }}" for name in ENTRY_POINTS)
    for name in ("nvinfer", "nvinfer_plugin", "nvonnxparser"):
        library = f"lib{name}.so.{major}"
        compiled(source, folder / library, f"-Wl,-soname,{library}")
    return folder
