"""Whether a microphone gives as much sound as time passes. Pure."""

from __future__ import annotations

from typing import NamedTuple

from edgeser.audio.source import AudioFault
from edgeser.pcm import SAMPLE_RATE

TOLERANCE = 0.05
"""Fraction by which a microphone's clock may differ from ours. A cheap one is off by 0.01."""

SURE_S = 60.0
"""This much sound too much or too little is neither a burst nor a delay."""

PAUSE_S = 1.5
"""When nothing came for longer, nobody knows how much was recorded."""


class WrongPace(NamedTuple):
    """Seconds of sound that came within seconds of our clock."""

    sound_s: float
    passed_s: float

    def __str__(self) -> str:
        return f"{self.sound_s:.0f} s of sound came in {self.passed_s:.0f} s"


class Pace:
    """Notices a microphone that records at another rate, or in another format, than it should.

    It sums up what comes beyond the tolerance, surplus and deficit separately, neither below zero.
    """

    def __init__(self) -> None:
        self._at: float | None = None
        self._surplus_s = self._surplus_from = 0.0
        self._deficit_s = self._deficit_from = 0.0
        self.is_wrong = False
        """From when that is certain until both sums have returned to zero."""

    def fault(self, samples: int, now: float, device: str, question: str) -> AudioFault | None:
        """Note samples that came by ``now``; the fault, if the wrong pace begins or ends with them.

        ``device``: in words. ``question``: what may be the cause.
        """
        was_wrong = self.is_wrong
        if wrong := self.heard(samples, now):
            return AudioFault("audio_pace", f"{device}: {wrong}; {question}", recovered=False)
        if was_wrong and not self.is_wrong:
            words = f"{device}: sound comes as fast as time passes again"
            return AudioFault("audio_pace", words, recovered=True)
        return None

    def heard(self, samples: int, now: float) -> WrongPace | None:
        """Note samples that came by ``now``, in monotonic seconds.

        Returns what is wrong once it is certain, and not again while it ``is_wrong``.
        """
        if self._at is None:
            self._at = self._surplus_from = self._deficit_from = now
            return None
        sound_s, passed_s = samples / SAMPLE_RATE, now - self._at
        self._at = now
        surplus_s = self._surplus_s + sound_s - (1 + TOLERANCE) * passed_s
        deficit_s = self._deficit_s - sound_s + (1 - TOLERANCE) * passed_s
        self._surplus_s, self._deficit_s = min(surplus_s, SURE_S), min(deficit_s, SURE_S)
        if surplus_s <= 0:
            self._surplus_s, self._surplus_from = 0.0, now
        if deficit_s <= 0 or passed_s > PAUSE_S:
            self._deficit_s, self._deficit_from = 0.0, now
        if not self._surplus_s and not self._deficit_s:
            self.is_wrong = False
        if self.is_wrong or max(self._surplus_s, self._deficit_s) < SURE_S:
            return None
        self.is_wrong = True
        if self._surplus_s > self._deficit_s:
            passed_s = now - self._surplus_from
            return WrongPace(surplus_s + (1 + TOLERANCE) * passed_s, passed_s)
        passed_s = now - self._deficit_from
        return WrongPace((1 - TOLERANCE) * passed_s - deficit_s, passed_s)
