"""edgeser: speech in, emotion events out, on the device.

Public: ``Subscriber`` and ``Gap`` (events of a running daemon), ``Recognizer`` (samples or a file
in, segments with scores out) and ``load_model``. Each is imported when it is first used.
"""

from __future__ import annotations

import importlib
import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from edgeser.events.sequence import Gap as Gap
    from edgeser.events.subscribe.subscriber import Subscriber as Subscriber
    from edgeser.model.model import load_model as load_model
    from edgeser.recognizer import Recognizer as Recognizer

__version__ = "0.1.0"

# Wheels of ONNX Runtime from 1.29 on write telemetry to the home folder when they are imported.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"

_HOMES = {
    "Gap": "edgeser.events.sequence",
    "Recognizer": "edgeser.recognizer",
    "Subscriber": "edgeser.events.subscribe.subscriber",
    "load_model": "edgeser.model.model",
}

__all__ = ["Gap", "Recognizer", "Subscriber", "__version__", "load_model"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'edgeser' has no attribute '{name}'")
    return getattr(importlib.import_module(_HOMES[name]), name)
