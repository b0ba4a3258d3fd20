"""The backend that runs an engine."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorrt as trt

from edgeser.features.front_end import Floats
from edgeser.model.artefact import ArtefactInfo
from edgeser.model.backends.protocol import beside_noise
from edgeser.model.backends.tensorrt.cache import Engine
from edgeser.model.backends.tensorrt.cuda import Buffer, Graph, Stopwatch, Stream
from edgeser.model.backends.tensorrt.errors import EngineError
from edgeser.model.backends.tensorrt.logger import Logger
from edgeser.model.backends.tensorrt.shapes import sized
from edgeser.model.onnx_file import OnnxFile

log = logging.getLogger(__name__)

TOLERANCE = {"fp32": 1e-3, "fp16": 1e-2, "int8": 1e-2}
"""Largest difference of a score from its golden value, by precision."""

_TYPES = {"float32": trt.DataType.FLOAT, "int64": trt.DataType.INT64}
_ONE, _MANY = 0, 1
"""The engine's optimisation profiles: a window alone, and several."""


class TensorRt:
    """An engine, its memory for the largest shape, and a stream.

    One window of the steady length, or one block of a stream, runs as a CUDA graph: upload, network
    and download are one launch.
    """

    fix = "build the engine again with 'edgeser engine build', or let ONNX Runtime run the model"

    def __init__(self, plan: bytes, engine: Engine, onnx: OnnxFile, info: ArtefactInfo) -> None:
        """Load the plan of an artefact. Raises EngineError where it cannot run here."""
        self.name = f"tensorrt/{engine.platform.gpu} {engine.precision}"
        self.metadata = onnx.metadata
        self.inputs, self.outputs = onnx.inputs, onnx.outputs
        self.tolerance = TOLERANCE[engine.precision]
        self.batch_frames = engine.shapes.batch * engine.shapes.longest
        self.verify_batch = engine.shapes.usual
        self._shapes = engine.shapes
        self._inputs, self._outputs = info.inputs, info.outputs
        self._logger = Logger()
        # Must live as long as the engine, which does not hold a reference to it.
        self._runtime: trt.Runtime = trt.Runtime(self._logger)
        self._engine: trt.ICudaEngine = self._runtime.deserialize_cuda_engine(plan)
        if self._engine is None:
            raise EngineError(self._logger.because("TensorRT refuses the engine"))
        self._check()
        self._stream = Stream()
        most, longest = self._shapes.batch, self._shapes.longest
        self._buffers = {
            tensor.name: Buffer(sized(tensor, most, longest), tensor.dtype)
            for tensor in (*self._inputs, *self._outputs)
        }
        self._contexts = {
            profile: self._context(profile)
            for profile in range(self._engine.num_optimization_profiles)
        }
        self._graph = self._captured()

    def run(self, features: Floats, frames: npt.NDArray[np.int64]) -> Floats:
        """See ``Backend``.

        A batch larger than the engine's is run in parts. Raises EngineError.
        """
        return beside_noise("logits", self._heard({"features": features, "frames": frames}))

    def step(self, features: Floats, state: Floats) -> tuple[Floats, Floats, Floats]:
        """See ``Backend``, and ``run``."""
        outputs = self._heard({"features": features, "state": state})
        return beside_noise("votes", outputs), outputs["weights"], outputs["next_state"]

    def _heard(self, inputs: Mapping[str, npt.NDArray[Any]]) -> dict[str, Floats]:
        rows, length = inputs["features"].shape[:2]
        if not self._shapes.shortest <= length <= self._shapes.longest:
            raise EngineError(
                f"{length} frames: the engine takes {self._shapes.shortest} to "
                f"{self._shapes.longest}",
                "build it again with 'edgeser engine build'",
            )
        most = self._shapes.batch
        parts = [
            self._run({name: array[first : first + most] for name, array in inputs.items()}, length)
            for first in range(0, rows, most)
        ]
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}

    def _run(self, inputs: Mapping[str, npt.NDArray[Any]], length: int) -> dict[str, Floats]:
        batch = len(inputs["features"])
        for name, array in inputs.items():
            self._buffers[name].host(array.shape)[:] = array
        self._start(batch, length)
        self._stream.wait()
        return {
            tensor.name: self._buffers[tensor.name].host(sized(tensor, batch, length)).copy()
            for tensor in self._outputs
        }

    def times_ms(self, batch: int, length: int, runs: int) -> list[float]:
        """Milliseconds on the GPU for a batch: copies and network, without work on the host."""
        self._silence(batch, length)
        watch = Stopwatch(self._stream)
        return [watch.time_ms(lambda: self._start(batch, length)) for _ in range(runs)]

    def _start(self, batch: int, length: int) -> None:
        """Enqueue the work for what is in the buffers."""
        if self._graph is not None and (batch, length) == (1, self._shapes.steady):
            self._graph.launch(self._stream)
        else:
            self._enqueue(self._contexts[_ONE if batch == 1 else _MANY], batch, length)

    def _check(self) -> None:
        """Raises EngineError if the engine's tensors do not fit the buffers."""
        engine: trt.ICudaEngine = self._engine
        names = {engine.get_tensor_name(index) for index in range(engine.num_io_tensors)}
        found = {name: engine.get_tensor_dtype(name) for name in names}
        expected = {t.name: _TYPES[t.dtype] for t in (*self._inputs, *self._outputs)}
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
        for name, buffer in self._buffers.items():
            self._must(context.set_tensor_address(name, buffer.device))
        self._stream.wait()
        return context

    def _enqueue(self, context: trt.IExecutionContext, batch: int, length: int) -> None:
        for tensor in self._inputs:
            self._must(context.set_input_shape(tensor.name, sized(tensor, batch, length)))
        self._work(context, batch, length)

    def _work(self, context: trt.IExecutionContext, batch: int, length: int) -> None:
        """Enqueue all work for a batch: uploads, network, downloads."""
        for tensor in self._inputs:
            self._buffers[tensor.name].upload(sized(tensor, batch, length), self._stream)
        self._must(context.execute_async_v3(self._stream.handle))
        for tensor in self._outputs:
            self._buffers[tensor.name].download(sized(tensor, batch, length), self._stream)

    def _silence(self, batch: int, length: int) -> None:
        """Fill the buffers with input for a run whose output is not used."""
        for tensor in self._inputs:
            value = length if tensor.name == "frames" else 0
            self._buffers[tensor.name].host(sized(tensor, batch, length))[:] = value

    def _captured(self) -> Graph | None:
        """The steady shape as a graph; None where TensorRT's work cannot be captured."""
        steady = self._shapes.steady
        self._silence(1, steady)
        # A context that nothing else uses: a graph keeps the state it was captured with. The first
        # run of a shape does extra work, which must not be captured.
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
