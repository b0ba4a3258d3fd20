"""A window: a stretch of speech on its way from the thread that hears to the one that decides."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from edgeser.events.schema import Quality
from edgeser.model.model import Model
from edgeser.model.network import Speech


@dataclass(frozen=True, slots=True, eq=False)
class Window:
    """A stretch of speech that waits for its model.

    ``stream``: the stream's name. ``model``: the one it was cut for. ``start``, ``end``: samples
    [start, end) of the stream; ``speech``: its features, as the model takes them.
    ``baseline_s``: seconds of speech in the voice's baseline that these are relative to; None where
    the model learns no voices.
    ``captured_at``: monotonic seconds of the capture of the last sample that was needed to cut
    it: its own last, or the end of the silence that closed its segment. ``arrived_at``,
    ``cut_at`` and ``ready_at``: on the same clock, when the block with that sample arrived, when
    the window had been cut, and when its features were there.
    """

    stream: str
    model: Model
    segment: int
    kind: Literal["partial", "final"]
    start: int
    end: int
    continued: bool
    speech: Speech
    quality: Quality
    captured_at: float
    arrived_at: float
    cut_at: float
    ready_at: float
    baseline_s: float | None = None
