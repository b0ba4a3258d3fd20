"""The engine of an artefact, opened."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from edgeser.errors import UserError
from edgeser.events.schema import ModelRef
from edgeser.model.artefact import ArtefactInfo, info_from_metadata
from edgeser.model.backends.tensorrt.cache import Engine, find, read_plan
from edgeser.model.backends.tensorrt.errors import EngineError
from edgeser.model.backends.tensorrt.platform import this_platform
from edgeser.model.onnx_file import OnnxFile, read_onnx

if TYPE_CHECKING:
    from edgeser.model.backends.tensorrt.backend import TensorRt


def open_engine(onnx: bytes, path: Path, sha256: str) -> TensorRt:
    """The backend that runs the cached engine of an artefact's file.

    Raises EngineError: no GPU, no TensorRT, no engine that fits, or one that does not load.
    """
    platform = this_platform()
    file = read_onnx(onnx, path)
    info = info_from_metadata(file.metadata, path)
    place, _ = find(ModelRef(info.name, info.version, sha256), info.precision, platform)
    engine, plan = read_plan(place)
    return started(plan, engine, place, file, info)


def started(
    plan: bytes, engine: Engine, place: Path, file: OnnxFile, info: ArtefactInfo
) -> TensorRt:
    """The backend that runs a plan; ``place`` names it. Raises EngineError if it does not load."""
    try:
        from edgeser.model.backends.tensorrt.backend import TensorRt

        return TensorRt(plan, engine, file, info)
    except UserError as error:
        raise EngineError(f"engine {place}: {error}") from error
    except Exception as error:  # the exceptions of NVIDIA's bindings share no base class
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        raise EngineError(f"engine {place}: cannot be loaded: {reason}") from error
