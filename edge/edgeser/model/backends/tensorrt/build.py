"""An artefact's graph becomes a plan for the GPU that is here."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeAlias

import tensorrt as trt

from edgeser.model.artefact import Tensor
from edgeser.model.backends.tensorrt.errors import EngineError
from edgeser.model.backends.tensorrt.logger import Logger
from edgeser.model.backends.tensorrt.shapes import Shapes, sized

WORKSPACE_BYTES = 1 << 30
"""Most scratch memory for a layer."""

Tell: TypeAlias = Callable[[str, int, int], None]
"""Called for each phase of the build with its name, its steps so far, and their total."""


def build(
    onnx: bytes, shapes: Shapes, inputs: Sequence[Tensor], *, timings: bytes = b"", tell: Tell
) -> tuple[bytes, bytes]:
    """The plan of a graph for these shapes, and the timings for the next build on this GPU.

    ``inputs``: the graph's. ``timings``: of an earlier build; unusable ones are ignored. The
    network is strongly typed: it computes in the types that the file has. Raises EngineError, and
    KeyboardInterrupt at the next step after Ctrl-C.
    """
    logger = Logger()
    with _interruptible() as interrupted:
        monitor = Monitor(tell, interrupted)
        try:
            plan, timings = _build(onnx, shapes, inputs, timings, logger, monitor)
        except EngineError:
            if interrupted.is_set():
                raise KeyboardInterrupt from None
            raise
        except Exception as error:  # the exceptions of TensorRT's bindings share no base class
            reason = " ".join(f"{type(error).__name__}: {error}".split())[:200]
            raise EngineError(
                logger.because(f"TensorRT cannot build an engine: {reason}")
            ) from error
    return plan, timings


def _build(
    onnx: bytes,
    shapes: Shapes,
    inputs: Sequence[Tensor],
    timings: bytes,
    logger: Logger,
    monitor: Monitor,
) -> tuple[bytes, bytes]:
    builder: trt.Builder = trt.Builder(logger)
    typed = 1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED)
    network: trt.INetworkDefinition = builder.create_network(typed)
    parser: trt.OnnxParser = trt.OnnxParser(network, logger)
    if not parser.parse(onnx):
        raise EngineError(f"TensorRT cannot read the graph: {_complaint(parser)}")
    config: trt.IBuilderConfig = builder.create_builder_config()
    config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, WORKSPACE_BYTES)
    config.clear_flag(trt.BuilderFlag.TF32)  # fp32 means full precision
    config.progress_monitor = monitor
    cache = _attach(config, timings)
    profiles = [(1, 1, 1), (2, shapes.usual, shapes.batch)]
    for first, usual, last in profiles[: 1 + (shapes.batch > 1)]:
        profile: trt.IOptimizationProfile = builder.create_optimization_profile()
        for tensor in inputs:
            profile.set_shape(
                tensor.name,
                sized(tensor, first, shapes.shortest),
                sized(tensor, usual, shapes.steady),
                sized(tensor, last, shapes.longest),
            )
        if config.add_optimization_profile(profile) < 0:
            raise EngineError(logger.because(f"TensorRT refuses the shapes {shapes}"))
    plan: trt.IHostMemory = builder.build_serialized_network(network, config)
    if plan is None:
        raise EngineError(logger.because("TensorRT cannot build an engine"))
    return bytes(plan), bytes(cache.serialize())


def _attach(config: trt.IBuilderConfig, timings: bytes) -> trt.ITimingCache:
    """The timing cache of the build; an empty one if the timings cannot be used here."""
    cache: trt.ITimingCache = config.create_timing_cache(timings)
    if cache is None or not config.set_timing_cache(cache, False):
        cache = config.create_timing_cache(b"")
        config.set_timing_cache(cache, False)
    return cache


def _complaint(parser: trt.OnnxParser) -> str:
    if not parser.num_errors:
        return "it does not say why"
    error: trt.ParserError = parser.get_error(0)
    where = f"{error.node_operator()} '{error.node_name()}': " if error.node_name() else ""
    return where + " ".join(error.desc().split())[:200]


class Monitor(trt.IProgressMonitor):  # type: ignore[misc]
    """Reports the outermost phases of a build, and ends the build when it is interrupted."""

    def __init__(self, tell: Tell, interrupted: threading.Event) -> None:
        trt.IProgressMonitor.__init__(self)
        self._tell = tell
        self._interrupted = interrupted
        self._steps: dict[str, int] = {}

    def phase_start(self, phase_name: str, parent_phase: str | None, num_steps: int) -> None:
        """Called by TensorRT."""
        if parent_phase is None:
            self._steps[phase_name] = num_steps
            self._tell(phase_name, 0, num_steps)

    def step_complete(self, phase_name: str, step: int) -> bool:
        """Called by TensorRT; whether to go on."""
        if phase_name in self._steps:
            self._tell(phase_name, step + 1, self._steps[phase_name])
        return not self._interrupted.is_set()

    def phase_finish(self, phase_name: str) -> None:
        """Called by TensorRT."""
        if phase_name in self._steps:
            steps = self._steps.pop(phase_name)
            self._tell(phase_name, steps, steps)


@contextmanager
def _interruptible() -> Iterator[threading.Event]:
    """An event set by Ctrl-C, since an exception must not pass through TensorRT's stack frames."""
    interrupted = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield interrupted
        return

    def interrupt(*_: Any) -> None:
        interrupted.set()

    before = signal.signal(signal.SIGINT, interrupt)
    try:
        yield interrupted
    finally:
        signal.signal(signal.SIGINT, before)
