"""Builds an artefact's engine, verifies it, and puts it into the cache."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from pathlib import Path

from edgeser.errors import UserError
from edgeser.events.schema import ModelRef
from edgeser.model.artefact import Precision, info_from_metadata, model_path
from edgeser.model.backends.tensorrt import cache
from edgeser.model.backends.tensorrt.errors import EngineError, UnfitError
from edgeser.model.backends.tensorrt.open import started
from edgeser.model.backends.tensorrt.platform import this_platform
from edgeser.model.backends.tensorrt.shapes import shapes_of
from edgeser.model.model import verified
from edgeser.model.onnx_file import read_onnx
from edgeser.paths import engine_folders


def make_engine(
    name_or_file: str,
    precision: Precision | None,
    batch: int,
    tell: Callable[[str, int, int], None],
) -> tuple[Path, float]:
    """Build an artefact's engine for this machine, run its golden vectors, and keep it.

    Returns its file, and the largest difference of a score from its golden value. An engine that
    drifts is not kept, and an older one stays. ``precision``: checked against that of the file,
    which the engine has as well. ``tell``: see ``build``. Raises UserError, UnfitError for integers
    that TensorRT does not take.
    """
    path = model_path(name_or_file)
    onnx = path.read_bytes()
    file = read_onnx(onnx, path)
    info = info_from_metadata(file.metadata, path)
    if precision not in (None, info.precision):
        raise EngineError(
            f"--precision {precision}: {path.name} computes in {info.precision}, and so would "
            "its engine",
            f"make the file with 'edgeser export --precision {precision}'",
        )
    if info.precision != file.precision:
        raise EngineError(
            f"model {path}: its metadata says {info.precision}, its graph computes in "
            f"{file.precision}",
            "export it again",
        )
    if file.unsigned:
        raise UnfitError(
            f"model {path}: its integers are unsigned, for CPUs, and TensorRT needs signed ones "
            "around zero",
            "make the file with 'edgeser export --precision int8 --symmetric'",
        )
    platform = this_platform()
    shapes = shapes_of(info, batch)
    folder = engine_folders()[0]
    cache.ready(folder)  # fail now, not after minutes of building
    timings = cache.timings_file(folder, platform)
    from edgeser.model.backends.tensorrt.build import build

    before = timings.read_bytes() if timings.exists() else b""
    plan, after = build(onnx, shapes, info.inputs, timings=before, tell=tell)
    engine = cache.engine_of(
        plan,
        model=ModelRef(info.name, info.version, hashlib.sha256(onnx).hexdigest()),
        artefact=path,
        precision=info.precision,
        platform=platform,
        shapes=shapes,
        built=time.strftime("%Y-%m-%d"),
    )
    cache.write(timings, after)
    place = folder / engine.file_name
    try:
        backend = started(plan, engine, place, file, info)
        difference = verified(backend, path, len(onnx), engine.model.sha256).verify()
    except UserError as error:
        raise EngineError(
            f"the engine was built but is not kept: {error.what}",
            "let ONNX Runtime run the model, or try another version of TensorRT",
        ) from error
    return cache.save(engine, plan, folder), difference
