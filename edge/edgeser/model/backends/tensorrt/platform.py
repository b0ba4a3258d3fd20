"""The platform an engine is built for: the local GPU and TensorRT."""

from __future__ import annotations

import ctypes
import importlib

import msgspec

from edgeser.model.backends.tensorrt.errors import EngineError

OLDEST = (10, 3)
"""JetPack 6."""
NEWEST_MAJOR = 11

_LIBRARY = "libcuda.so.1"
_CAPABILITY_MAJOR, _CAPABILITY_MINOR = 75, 76
_NAME_BYTES = 256


class Platform(msgspec.Struct, frozen=True):
    """``gpu``: its name; ``capability``: CUDA compute capability, e.g. 8.7; ``tensorrt``: version.

    An engine built on one platform is of no use on another.
    """

    gpu: str
    capability: str
    tensorrt: str

    def __str__(self) -> str:
        return f"{self.gpu} ({self.capability}), TensorRT {self.tensorrt}"


def this_platform() -> Platform:
    """The platform here. Raises EngineError: no GPU, no library, or a version that does not fit.

    Costs next to nothing where there is no NVIDIA driver, and imports TensorRT only when the driver
    works: without one, some of its calls end the process.
    """
    gpu, capability = this_gpu()
    return Platform(gpu, capability, _tensorrt())


def this_gpu() -> tuple[str, str]:
    """Name and compute capability of the first GPU, from the driver. Raises EngineError."""
    try:
        driver = ctypes.CDLL(_LIBRARY)
    except OSError as error:
        raise EngineError(f"no NVIDIA driver: {_LIBRARY} is not installed") from error
    count, device = ctypes.c_int(), ctypes.c_int()
    name = ctypes.create_string_buffer(_NAME_BYTES)
    major, minor = ctypes.c_int(), ctypes.c_int()
    _ask(driver, "cuInit", 0)
    _ask(driver, "cuDeviceGetCount", ctypes.byref(count))
    if not count.value:
        raise EngineError("no NVIDIA GPU: the driver finds none")
    _ask(driver, "cuDeviceGet", ctypes.byref(device), 0)
    _ask(driver, "cuDeviceGetName", name, _NAME_BYTES, device)
    for attribute, value in ((_CAPABILITY_MAJOR, major), (_CAPABILITY_MINOR, minor)):
        _ask(driver, "cuDeviceGetAttribute", ctypes.byref(value), attribute, device)
    return name.value.decode(errors="replace"), f"{major.value}.{minor.value}"


def _ask(driver: ctypes.CDLL, call: str, *arguments: object) -> None:
    """Raises EngineError if the driver's call fails."""
    code = getattr(driver, call)(*arguments)
    if code:
        text = ctypes.c_char_p()
        driver.cuGetErrorString(code, ctypes.byref(text))
        reason = text.value.decode() if text.value else "unknown error"
        raise EngineError(f"no working NVIDIA GPU: {call} says '{reason}' ({code})")


def _tensorrt() -> str:
    """The version of TensorRT's Python package."""
    try:
        version = str(importlib.import_module("tensorrt").__version__)
    except ModuleNotFoundError as error:
        raise EngineError(
            f"the Python package {error.name} is not installed",
            "pip install 'edgeser[tensorrt]', on a Jetson see docs/tensorrt.md",
        ) from error
    except (ImportError, OSError) as error:
        reason = " ".join(str(error).split())
        raise EngineError(f"TensorRT cannot be loaded: {reason}", "reinstall tensorrt") from error
    numbers = tuple(int(part) for part in version.split(".")[:2])
    if numbers < OLDEST or numbers[0] > NEWEST_MAJOR:
        raise EngineError(
            f"TensorRT {version}: edgeser needs {'.'.join(map(str, OLDEST))} to {NEWEST_MAJOR}.x"
        )
    return version
