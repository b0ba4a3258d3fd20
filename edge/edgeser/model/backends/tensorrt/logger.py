"""TensorRT's messages: into the log, and its last error kept for the user's line."""

from __future__ import annotations

import logging

import tensorrt as trt

log = logging.getLogger("edgeser.model.backends.tensorrt")


class Logger(trt.ILogger):  # type: ignore[misc]
    """The logger that TensorRT's objects are constructed with."""

    def __init__(self) -> None:
        trt.ILogger.__init__(self)
        self.error = ""
        """The last error, one line."""

    def log(self, severity: trt.ILogger.Severity, msg: str) -> None:
        """Called by TensorRT, from any thread."""
        line = " ".join(msg.split())
        if severity in (trt.ILogger.Severity.INTERNAL_ERROR, trt.ILogger.Severity.ERROR):
            self.error = line
            log.debug("error: %s", line)
        elif severity == trt.ILogger.Severity.WARNING:
            log.debug("warning: %s", line)

    def because(self, what: str) -> str:
        """``what``, and TensorRT's reason where it gave one."""
        return f"{what}: {self.error[:200]}" if self.error else what
