"""How ONNX Runtime runs every graph here: on the CPU, asleep while there is nothing to do."""

from __future__ import annotations

import onnxruntime

PROVIDER = "CPUExecutionProvider"


def open_session(onnx: bytes, threads: int = 1) -> onnxruntime.InferenceSession:
    """A session of a graph, given as the content of its file.

    Raises what ONNX Runtime raises, whose exceptions share no base class.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.enable_mem_pattern = False  # it would hold a memory plan for each input length
    options.log_severity_level = 3
    if b"QuantizeLinear" not in onnx:
        # Where only weights are integers they are unfolded here, once, and not in every run: that
        # is up to a tenth of moonshine6's time.
        options.add_session_config_entry("session.disable_quant_qdq", "1")
    session = onnxruntime.InferenceSession(onnx, options, providers=[PROVIDER])
    session._model_bytes = None  # else it keeps the file, to be able to change providers
    return session
