"""What an engine needs of the CUDA runtime: a stream, buffers, a captured graph."""

from __future__ import annotations

import ctypes
import math
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from edgeser.model.backends.tensorrt.errors import EngineError

try:
    from cuda.bindings import runtime as cudart
except ImportError:
    try:
        from cuda import cudart  # cuda-python before 12.6
    except ImportError as missing:
        raise EngineError(
            "the Python package cuda-python is not installed", "pip install 'edgeser[tensorrt]'"
        ) from missing


def check(result: tuple[Any, ...]) -> Any:
    """The value of a call's (error, value). Raises EngineError when it failed."""
    error, *values = result
    if error != cudart.cudaError_t.cudaSuccess:
        text = cudart.cudaGetErrorString(error)[1]
        reason = text.decode() if isinstance(text, bytes) else str(text)
        raise EngineError(
            f"CUDA: {reason} ({int(error)})", "see that the driver and cuda-python match"
        )
    return values[0] if values else None


class Stream:
    """A non-blocking CUDA stream: it does not synchronise with the default stream."""

    def __init__(self) -> None:
        stream = check(cudart.cudaStreamCreateWithFlags(cudart.cudaStreamNonBlocking))
        self.handle = int(stream)
        weakref.finalize(self, cudart.cudaStreamDestroy, self.handle)

    def wait(self) -> None:
        """Wait until all work in it is done."""
        check(cudart.cudaStreamSynchronize(self.handle))

    def capture(self, work: Callable[[], None]) -> Graph:
        """Record the work as a graph without running it. Raises EngineError if it cannot be one."""
        mode = cudart.cudaStreamCaptureMode.cudaStreamCaptureModeThreadLocal
        check(cudart.cudaStreamBeginCapture(self.handle, mode))
        try:
            work()
        except EngineError:
            cudart.cudaStreamEndCapture(self.handle)
            cudart.cudaGetLastError()
            raise
        ended = cudart.cudaStreamEndCapture(self.handle)
        if ended[0] != cudart.cudaError_t.cudaSuccess:
            cudart.cudaGetLastError()
        return Graph(check(ended))


class Graph:
    """Work that is launched as one."""

    def __init__(self, captured: Any) -> None:
        try:
            self._graph = check(cudart.cudaGraphInstantiate(captured, 0))
        finally:
            cudart.cudaGraphDestroy(captured)
        weakref.finalize(self, cudart.cudaGraphExecDestroy, self._graph)

    def launch(self, stream: Stream) -> None:
        """Put it into a stream."""
        check(cudart.cudaGraphLaunch(self._graph, stream.handle))


class Stopwatch:
    """Time on the GPU between two points of a stream."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._begin, self._end = (check(cudart.cudaEventCreate()) for _ in range(2))
        for event in (self._begin, self._end):
            weakref.finalize(self, cudart.cudaEventDestroy, event)

    def time_ms(self, work: Callable[[], None]) -> float:
        """Milliseconds of what ``work`` puts into the stream; returns when it is done."""
        check(cudart.cudaEventRecord(self._begin, self._stream.handle))
        work()
        check(cudart.cudaEventRecord(self._end, self._stream.handle))
        check(cudart.cudaEventSynchronize(self._end))
        return float(check(cudart.cudaEventElapsedTime(self._begin, self._end)))


class Buffer:
    """Memory for a tensor of up to ``shape``, allocated once: pinned host memory, device memory."""

    def __init__(self, shape: tuple[int, ...], dtype: npt.DTypeLike) -> None:
        self._dtype = np.dtype(dtype)
        size = math.prod(shape) * self._dtype.itemsize
        self.device = int(check(cudart.cudaMalloc(size)))
        weakref.finalize(self, cudart.cudaFree, self.device)
        self._host = int(check(cudart.cudaHostAlloc(size, cudart.cudaHostAllocDefault)))
        weakref.finalize(self, cudart.cudaFreeHost, self._host)
        memory = (ctypes.c_byte * size).from_address(self._host)
        self._items: npt.NDArray[Any] = np.ctypeslib.as_array(memory).view(self._dtype)
        self._items[:] = 0

    def host(self, shape: tuple[int, ...]) -> npt.NDArray[Any]:
        """The host's memory as a tensor of this shape, from which ``upload`` copies."""
        return self._items[: math.prod(shape)].reshape(shape)

    def upload(self, shape: tuple[int, ...], stream: Stream) -> None:
        """Copy a tensor of this shape to the device, in the stream."""
        kind = cudart.cudaMemcpyKind.cudaMemcpyHostToDevice
        size = math.prod(shape) * self._dtype.itemsize
        check(cudart.cudaMemcpyAsync(self.device, self._host, size, kind, stream.handle))

    def download(self, shape: tuple[int, ...], stream: Stream) -> None:
        """Copy a tensor of this shape from the device, in the stream."""
        kind = cudart.cudaMemcpyKind.cudaMemcpyDeviceToHost
        size = math.prod(shape) * self._dtype.itemsize
        check(cudart.cudaMemcpyAsync(self._host, self.device, size, kind, stream.handle))
