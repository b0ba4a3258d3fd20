"""A FAKE of TensorRT, for machines that have none: ONNX Runtime computes, nothing is optimised.

It shows that our code calls in the right order with the right buffers, never that TensorRT would
accept or compute the same. ``test_bindings`` compares names and parameters with the real bindings.
A plan is this module's version, the shapes of its profiles and the ONNX file itself. Addresses are
those of ordinary memory (``cuda.bindings.runtime`` beside it).
"""

import ctypes
import enum
import json
import os

import numpy as np
import onnxruntime
from cuda.bindings import runtime as cuda

__version__ = os.environ.get("FAKE_TENSORRT", "10.3.0")


class DataType(enum.Enum):
    FLOAT = 0
    HALF = 1
    INT64 = 8


class BuilderFlag(enum.Enum):
    TF32 = 7


class MemoryPoolType(enum.Enum):
    WORKSPACE = 0


class NetworkDefinitionCreationFlag(enum.Enum):
    STRONGLY_TYPED = 1

    def __int__(self):
        return self.value


class ILogger:
    class Severity(enum.Enum):
        INTERNAL_ERROR = 0
        ERROR = 1
        WARNING = 2
        INFO = 3


class IProgressMonitor:
    pass


class INetworkDefinition:
    onnx = b""


class ParserError:
    def node_operator(self):
        return "Sorcery"

    def node_name(self):
        return "/spell"

    def desc(self):
        return "No importer registered for op: Sorcery"


class OnnxParser:
    def __init__(self, network, logger):
        self._network, self.num_errors = network, 0

    def parse(self, model, path=None):
        self._network.onnx = bytes(model)
        self.num_errors = int(b"Sorcery" in model)
        return not self.num_errors

    def get_error(self, index):
        return ParserError()


class IOptimizationProfile:
    def __init__(self):
        self.shapes = {}

    def set_shape(self, input, min, opt, max):
        assert all(a <= b <= c for a, b, c in zip(min, opt, max, strict=True)), (min, opt, max)
        self.shapes[input] = [min, opt, max]


class ITimingCache:
    def __init__(self, content):
        self.content = content

    def serialize(self):
        return self.content or b"timings"


class IBuilderConfig:
    def __init__(self):
        self.profiles, self.cache = [], None
        self.progress_monitor = None

    def set_memory_pool_limit(self, pool, pool_size):
        pass

    def clear_flag(self, flag):
        assert isinstance(flag, BuilderFlag)

    def create_timing_cache(self, serialized_timing_cache):
        return ITimingCache(serialized_timing_cache)

    def set_timing_cache(self, cache, ignore_mismatch):
        self.cache = cache
        return cache.content in (b"", b"timings")

    def add_optimization_profile(self, profile):
        self.profiles.append(profile.shapes)
        return len(self.profiles) - 1


class Builder:
    def __init__(self, logger):
        self._logger = logger

    def create_network(self, flags=0):
        assert flags == 1 << int(NetworkDefinitionCreationFlag.STRONGLY_TYPED)
        return INetworkDefinition()

    def create_builder_config(self):
        return IBuilderConfig()

    def create_optimization_profile(self):
        return IOptimizationProfile()

    def build_serialized_network(self, network, config):
        monitor = config.progress_monitor
        monitor.phase_start("Building", None, 2)
        monitor.phase_start("Timing", "Building", 1)
        if os.environ.get("FAKE_INTERRUPT"):
            os.kill(os.getpid(), 2)
        going = [monitor.step_complete("Building", step) for step in range(2)]
        monitor.phase_finish("Timing")
        monitor.phase_finish("Building")
        if not all(going):
            self._logger.log(ILogger.Severity.ERROR, "the build was\n cancelled")
            return None
        return json.dumps([__version__, config.profiles]).encode() + b"\n" + network.onnx


class Runtime:
    def __init__(self, logger):
        self._logger = logger

    def deserialize_cuda_engine(self, serialized_engine):
        head, _, onnx = serialized_engine.partition(b"\n")
        version, profiles = json.loads(head)
        if version != __version__:
            self._logger.log(ILogger.Severity.ERROR, "Version tag does not match")
            return None
        return ICudaEngine(onnx, profiles)


class ICudaEngine:
    def __init__(self, onnx, profiles):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(onnx, options)
        self.profiles = profiles
        self.num_optimization_profiles = len(profiles)
        self._tensors = {
            **{tensor.name: tensor.type for tensor in self.session.get_inputs()},
            **{tensor.name: tensor.type for tensor in self.session.get_outputs()},
        }
        self.num_io_tensors = len(self._tensors)

    def get_tensor_name(self, index):
        return list(self._tensors)[index]

    def get_tensor_dtype(self, name):
        known = {"tensor(float)": DataType.FLOAT, "tensor(int64)": DataType.INT64}
        return known[self._tensors[name]]

    def create_execution_context(self):
        return IExecutionContext(self)


class IExecutionContext:
    def __init__(self, engine):
        self._engine, self._profile = engine, None
        self._addresses, self._shapes = {}, {}

    def set_optimization_profile_async(self, profile_index, stream_handle):
        self._profile = self._engine.profiles[profile_index]
        return True

    def set_tensor_address(self, name, memory):
        self._addresses[name] = memory
        return True

    def set_input_shape(self, name, shape):
        least, _, most = self._profile[name]
        self._shapes[name] = shape
        return all(a <= b <= c for a, b, c in zip(least, shape, most, strict=True))

    def execute_async_v3(self, stream_handle):
        if os.environ.get("FAKE_NO_CAPTURE") and cuda.capturing(stream_handle):
            return False
        captured = cuda.capturing(stream_handle)
        cuda.enqueue(stream_handle, lambda: self._execute(captured))
        return True

    def _execute(self, captured):
        inputs = {}
        for tensor in self._engine.session.get_inputs():
            name, dtype = tensor.name, np.int64 if "int64" in tensor.type else np.float32
            shape = self._shapes[name]
            size = int(np.prod(shape)) * np.dtype(dtype).itemsize
            memory = (ctypes.c_byte * size).from_address(self._addresses[name])
            inputs[name] = np.frombuffer(memory, dtype).reshape(shape)
        drifts = {
            "everywhere": True,
            "graph": captured,
            "batch": len(inputs["features"]) > 1,
        }[os.environ.get("FAKE_DRIFT_WHERE", "everywhere")]
        names = [output.name for output in self._engine.session.get_outputs()]
        for name, answer in zip(names, self._engine.session.run(names, inputs), strict=True):
            if drifts:
                answer = answer * np.float32(os.environ.get("FAKE_DRIFT", 1))
            ctypes.memmove(self._addresses[name], answer.ctypes.data, answer.nbytes)
