"""The outputs of the segmenter: a segment begins, a window of it is full, it ends.

All positions are absolute samples of the stream.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

NoFinal: TypeAlias = Literal["too_short", "not_speech"]
"""Why a segment has no final: less speech than the minimum, or nothing that sounds like a voice."""


@dataclass(frozen=True, slots=True)
class SegmentStarted:
    """Speech began."""

    segment: int
    start: int


@dataclass(frozen=True, slots=True)
class WindowDue:
    """Speech goes on and a window [start, end) of it is full.

    ``segment_start``: where its segment begins, which may be before it. ``speech_ratio``: share of
    its frames that are speech. ``speech_probability``: mean probability that they are a voice;
    None without the voice detector.
    """

    segment: int
    start: int
    end: int
    segment_start: int
    speech_ratio: float
    speech_probability: float | None


@dataclass(frozen=True, slots=True)
class SegmentEnded:
    """Speech ended, or was cut at the maximum length (``continued``).

    ``no_final``: why it is not classified: it is a click or a cough shorter than the minimum, it is
    silent after a cut, or it was never confirmed. In the last case it had no ``SegmentStarted``.
    """

    segment: int
    start: int
    end: int
    speech_ratio: float
    speech_probability: float | None
    continued: bool
    no_final: NoFinal | None


SegmenterOutput: TypeAlias = SegmentStarted | WindowDue | SegmentEnded
