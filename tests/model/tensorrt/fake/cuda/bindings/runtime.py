"""A FAKE of the CUDA runtime's bindings: a stream is a list of calls, made on synchronisation.

``test_bindings`` compares its names and numbers of parameters with the real bindings.
"""

# ruff: noqa: N801, N802, N803, N815, N816 (the names are NVIDIA's)

import ctypes
import enum
import os
import sys
import time


class cudaError_t(enum.IntEnum):
    cudaSuccess = 0
    cudaErrorInvalidValue = 1
    cudaErrorStreamCaptureInvalidated = 901


class cudaMemcpyKind(enum.Enum):
    cudaMemcpyHostToDevice = 1
    cudaMemcpyDeviceToHost = 2


class cudaStreamCaptureMode(enum.Enum):
    cudaStreamCaptureModeThreadLocal = 1


cudaStreamNonBlocking = 1
cudaHostAllocDefault = 0

_OK = cudaError_t.cudaSuccess
_memory = {}
_streams = {}
_captures = {}


def enqueue(stream, call):
    (_captures if stream in _captures else _streams)[stream].append(call)


def capturing(stream):
    return stream in _captures


def _allocated(size):
    block = ctypes.create_string_buffer(b"\xa5" * size, size)
    _memory[ctypes.addressof(block)] = block
    return _OK, ctypes.addressof(block)


def cudaMalloc(size):
    return _allocated(size)


def cudaHostAlloc(size, flags):
    return _allocated(size)


def cudaFree(devPtr):
    del _memory[devPtr]
    return (_OK,)


def cudaFreeHost(ptr):
    del _memory[ptr]
    return (_OK,)


def cudaStreamCreateWithFlags(flags):
    stream = len(_streams) + 1
    _streams[stream] = []
    return _OK, stream


def cudaStreamDestroy(stream):
    return (_OK,)


def cudaStreamSynchronize(stream):
    if stream in _captures:
        return (cudaError_t.cudaErrorStreamCaptureInvalidated,)
    calls, _streams[stream] = _streams[stream], []
    for call in calls:
        call()
    return (_OK,)


def cudaMemcpyAsync(dst, src, count, kind, stream):
    assert isinstance(kind, cudaMemcpyKind)
    for address in (dst, src):
        if address not in _memory or count > len(_memory[address]):
            return (cudaError_t.cudaErrorInvalidValue,)
    enqueue(stream, lambda: ctypes.memmove(dst, src, count))
    return (_OK,)


def cudaStreamBeginCapture(stream, mode):
    _captures[stream] = []
    return (_OK,)


def cudaStreamEndCapture(stream):
    return _OK, _captures.pop(stream)


def cudaGraphInstantiate(graph, flags):
    return _OK, list(graph)


def cudaGraphDestroy(graph):
    return (_OK,)


def cudaGraphExecDestroy(graphExec):
    return (_OK,)


def cudaGraphLaunch(graphExec, stream):
    if os.environ.get("FAKE_TRACE"):
        print("graph launched", file=sys.stderr)
    for call in graphExec:
        enqueue(stream, call)
    return (_OK,)


def cudaEventCreate():
    return _OK, {}


def cudaEventDestroy(event):
    return (_OK,)


def cudaEventRecord(event, stream):
    event["stream"] = stream
    enqueue(stream, lambda: event.update(at=time.perf_counter()))
    return (_OK,)


def cudaEventSynchronize(event):
    return cudaStreamSynchronize(event["stream"])


def cudaEventElapsedTime(start, end):
    return _OK, 1000 * (end["at"] - start["at"])


def cudaGetErrorString(error):
    return _OK, error.name.encode()


def cudaGetLastError():
    return (_OK,)
