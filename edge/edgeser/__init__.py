"""edgeser: speech in, emotion events out, on the device.

Public: ``Subscriber`` and what it yields (``EmotionEvent``, ``SpeechEvent``, ``FaultEvent``,
``StatusEvent``, ``LevelEvent`` and ``Gap``, told apart by their ``type``), ``Live`` (blocks of
samples in, events out, without a daemon), ``Recognizer`` (samples or a file in, segments with
scores out), ``Voice`` (what these two learn of a voice), ``load_model``, ``load_settings``,
``decode`` (JSON in, an event out) and ``UserError``; and the types in their signatures. Each is
imported when it is first used.
"""

from __future__ import annotations

import importlib
import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from edgeser.errors import UserError as UserError
    from edgeser.events.schema import AnyEvent as AnyEvent
    from edgeser.events.schema import EmotionEvent as EmotionEvent
    from edgeser.events.schema import FaultEvent as FaultEvent
    from edgeser.events.schema import LevelEvent as LevelEvent
    from edgeser.events.schema import SpeechEvent as SpeechEvent
    from edgeser.events.schema import StatusEvent as StatusEvent
    from edgeser.events.schema import decode as decode
    from edgeser.events.sequence import Gap as Gap
    from edgeser.events.subscribe.catch_up import Position as Position
    from edgeser.events.subscribe.subscriber import Received as Received
    from edgeser.events.subscribe.subscriber import Subscriber as Subscriber
    from edgeser.live import AnySamples as AnySamples
    from edgeser.live import Live as Live
    from edgeser.model.model import Model as Model
    from edgeser.model.model import load_model as load_model
    from edgeser.pipeline import Heard as Heard
    from edgeser.recognizer import Recognizer as Recognizer
    from edgeser.settings.load import load_settings as load_settings
    from edgeser.settings.schema import Settings as Settings
    from edgeser.voice import Voice as Voice

__version__ = "0.1.0"

# Wheels of ONNX Runtime from 1.29 on write telemetry to the home folder when they are imported.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"

_HOMES = {
    "AnyEvent": "edgeser.events.schema",
    "AnySamples": "edgeser.live",
    "EmotionEvent": "edgeser.events.schema",
    "FaultEvent": "edgeser.events.schema",
    "Gap": "edgeser.events.sequence",
    "Heard": "edgeser.pipeline",
    "LevelEvent": "edgeser.events.schema",
    "Live": "edgeser.live",
    "Model": "edgeser.model.model",
    "Position": "edgeser.events.subscribe.catch_up",
    "Received": "edgeser.events.subscribe.subscriber",
    "Recognizer": "edgeser.recognizer",
    "Settings": "edgeser.settings.schema",
    "SpeechEvent": "edgeser.events.schema",
    "StatusEvent": "edgeser.events.schema",
    "Subscriber": "edgeser.events.subscribe.subscriber",
    "UserError": "edgeser.errors",
    "Voice": "edgeser.voice",
    "decode": "edgeser.events.schema",
    "load_model": "edgeser.model.model",
    "load_settings": "edgeser.settings.load",
}

__all__ = [
    "AnyEvent",
    "AnySamples",
    "EmotionEvent",
    "FaultEvent",
    "Gap",
    "Heard",
    "LevelEvent",
    "Live",
    "Model",
    "Position",
    "Received",
    "Recognizer",
    "Settings",
    "SpeechEvent",
    "StatusEvent",
    "Subscriber",
    "UserError",
    "Voice",
    "__version__",
    "decode",
    "load_model",
    "load_settings",
]


def __dir__() -> list[str]:
    return sorted({*__all__, *(name for name in globals() if name.startswith("__"))})


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'edgeser' has no attribute '{name}'")
    return getattr(importlib.import_module(_HOMES[name]), name)
