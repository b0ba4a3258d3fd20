"""Errors of an engine."""

from __future__ import annotations

from edgeser.errors import UserError


class EngineError(UserError):
    """There is no engine that can run here, or it cannot be built; the message says why."""


class UnfitError(EngineError):
    """TensorRT takes no such artefact; the message says which one it takes."""
