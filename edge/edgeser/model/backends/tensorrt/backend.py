"""The backend that runs an engine."""

from __future__ import annotations

import logging

import numpy as np
import numpy.typing as npt
import tensorrt as trt

from edgeser.features.front_end import Floats
from edgeser.model.artefact import ArtefactInfo
from edgeser.model.backends.tensorrt.cache import Engine
from edgeser.model.backends.tensorrt.cuda import Buffer, Graph, Stopwatch, Stream
from edgeser.model.backends.tensorrt.errors import EngineError
from edgeser.model.backends.tensorrt.logger import Logger
from edgeser.model.onnx_file import OnnxFile

log = logging.getLogger(__name__)

TOLERANCE = {"fp32": 1e-3, "fp16": 1e-2, "int8": 1e-2}
"""Largest difference of a score to its golden value, by precision."""

_TYPES = {
    "features": trt.DataType.FLOAT,
    "frames": trt.DataType.INT64,
}
_ONE, _MANY = 0, 1
"""The engine's optimisation profiles: a window alone, and several."""


class TensorRt:
    """An engine, its memory for the largest shape, and a stream.

    One window of the steady length is a CUDA graph: copy, network and copy are one launch.
    """

    def __init__(self, plan: bytes, engine: Engine, onnx: OnnxFile, info: ArtefactInfo) -> None:
        """Load the plan of an artefact. Raises EngineError where it cannot run here."""
        self.name = f"tensorrt/{engine.platform.gpu} {engine.precision}"
        self.metadata = onnx.metadata
        self.inputs, self.outputs = onnx.inputs, onnx.outputs
        self.tolerance = TOLERANCE[engine.precision]
        self.batch_frames = engine.shapes.batch * engine.shapes.longest
        self._shapes = engine.shapes
        self._width = info.front_end.width
        self._columns = {"logits": len(info.labels)}
        if info.noise is not None:
            self._columns["noise"] = 1
        self._logger = Logger()
        # Kept as long as the engine: TensorRT does not.
        self._runtime: trt.Runtime = trt.Runtime(self._logger)
        self._engine: trt.ICudaEngine = self._runtime.deserialize_cuda_engine(plan)
        if self._engine is None:
            raise EngineError(self._logger.because("TensorRT refuses the engine"))
        self._check()
        most, longest = self._shapes.batch, self._shapes.longest
        self._stream = Stream()
        self._features = Buffer((most, longest, self._width), np.float32)
        self._frames = Buffer((most,), np.int64)
        self._answers = {
            name: Buffer((most, columns), np.float32) for name, columns in self._columns.items()
        }
        self._contexts = {
            profile: self._context(profile)
            for profile in range(self._engine.num_optimization_profiles)
        }
        self._graph = self._captured()

    def run(self, features: Floats, frames: npt.NDArray[np.int64]) -> Floats:
        """As ``Backend`` has it.

        A batch larger than the engine's goes through it in parts. Raises EngineError.
        """
        most = self._shapes.batch
        parts = [
            self._run(features[first : first + most], frames[first : first + most])
            for first in range(0, len(features), most)
        ]
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def hear(self, features: Floats, state: Floats) -> tuple[Floats, Floats, Floats]:
        """No engine is built of a network of streams, see ``make``. Raises EngineError."""
        raise EngineError("this engine takes windows")

    def _run(self, features: Floats, frames: npt.NDArray[np.int64]) -> Floats:
        batch, length, _ = features.shape
        if not self._shapes.shortest <= length <= self._shapes.longest:
            raise EngineError(
                f"{length} frames: the engine takes {self._shapes.shortest} to "
                f"{self._shapes.longest}",
                "build it again with 'edgeser engine build'",
            )
        self._features.host(features.shape)[:] = features
        self._frames.host((batch,))[:] = frames
        self._start(batch, length)
        self._stream.wait()
        answers = [self._answers[name].host((batch, n)) for name, n in self._columns.items()]
        return np.concatenate(answers, axis=1)

    def times_ms(self, batch: int, length: int, runs: int) -> list[float]:
        """Milliseconds on the GPU for a batch: copies and network, nothing of the host's."""
        self._features.host((batch, length, self._width))[:] = 0
        self._frames.host((batch,))[:] = length
        watch = Stopwatch(self._stream)
        return [watch.time_ms(lambda: self._start(batch, length)) for _ in range(runs)]

    def _start(self, batch: int, length: int) -> None:
        """Put the work for what lies in the buffers into the stream."""
        if self._graph is not None and (batch, length) == (1, self._shapes.steady):
            self._graph.launch(self._stream)
        else:
            self._enqueue(self._contexts[_ONE if batch == 1 else _MANY], batch, length)

    def _check(self) -> None:
        """Raises EngineError if the engine's tensors are not those that the buffers are for."""
        engine: trt.ICudaEngine = self._engine
        names = {engine.get_tensor_name(index) for index in range(engine.num_io_tensors)}
        found = {name: engine.get_tensor_dtype(name) for name in names}
        expected = {**_TYPES, **dict.fromkeys(self._columns, trt.DataType.FLOAT)}
        if found != expected:
            raise EngineError(
                f"the engine's tensors are {found}, expected {expected}", "build it again"
            )

    def _context(self, profile: int) -> trt.IExecutionContext:
        """A context with this optimisation profile, bound to the buffers."""
        context: trt.IExecutionContext = self._engine.create_execution_context()
        if context is None:
            raise EngineError(self._logger.because("TensorRT makes no execution context"))
        self._must(context.set_optimization_profile_async(profile, self._stream.handle))
        for name, buffer in (
            ("features", self._features),
            ("frames", self._frames),
            *self._answers.items(),
        ):
            self._must(context.set_tensor_address(name, buffer.device))
        self._stream.wait()
        return context

    def _enqueue(self, context: trt.IExecutionContext, batch: int, length: int) -> None:
        shape = (batch, length, self._width)
        self._must(context.set_input_shape("features", shape))
        self._must(context.set_input_shape("frames", (batch,)))
        self._work(context, batch, length)

    def _work(self, context: trt.IExecutionContext, batch: int, length: int) -> None:
        """What is done for a batch, all of it in the stream."""
        self._features.upload((batch, length, self._width), self._stream)
        self._frames.upload((batch,), self._stream)
        self._must(context.execute_async_v3(self._stream.handle))
        for name, columns in self._columns.items():
            self._answers[name].download((batch, columns), self._stream)

    def _captured(self) -> Graph | None:
        """The steady shape as a graph; None where TensorRT's work cannot be captured."""
        steady = self._shapes.steady
        self._frames.host((1,))[:] = steady
        # A context that nothing else uses: a graph holds on to the state it was captured with. The
        # first run of a shape does work of its own, which does not belong into the graph.
        self._steady_context = context = self._context(_ONE)
        self._enqueue(context, 1, steady)
        self._stream.wait()
        try:
            return self._stream.capture(lambda: self._work(context, 1, steady))
        except EngineError as error:
            log.info("windows run without a CUDA graph: %s", error)
            return None

    def _must(self, done: bool) -> None:
        if not done:
            raise EngineError(self._logger.because("TensorRT failed"))
