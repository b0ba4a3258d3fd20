"""Front ends: one spec per model, computed incrementally, each frame once."""

from edgeser.features.baseline import Baseline
from edgeser.features.frames import FrameStream
from edgeser.features.front_end import FrontEnd
from edgeser.features.pieces import WindowPolicy

__all__ = ["Baseline", "FrameStream", "FrontEnd", "WindowPolicy"]
