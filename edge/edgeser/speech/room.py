"""The room between segments: when something is louder than its noise, the voice detector listens.

In a noisy room little of a voice is far enough above the noise floor to begin a segment. But a
detector that has heard the noise before the voice tells them apart far better than one that hears
both at once, and may begin a segment by itself.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

from edgeser.speech.evidence import Evidence
from edgeser.speech.open_segment import Mark
from edgeser.speech.vad import VadFrame

LOUD_DBFS = -60.0
"""A room with at least this noise floor is loud. In a quieter one a sound that WebRTC VAD proposes
is scored by itself, which refuses more sounds out of silence, sneezes above all."""

_RISE_DB = 3.0
_RISE_FRAMES = 10
"""A running mean (time constant 10 frames) 3 dB above the noise floor shows a sound. Noise alone is
1 or 2 dB above it."""

_KNOWN_FRAMES = 100
"""The detector hears this many frames of noise before the sound, and stops after as many without
another."""

_VOICE_FRAMES = 20
"""A voice must last this long to begin a segment by itself; the level shows most voices earlier."""

AWAITED_FRAMES = 7
"""This many frames without a probability, four chunks, are worth a run of the detector."""


class Room:
    """Takes the frames between segments, and finds where a voice begins. Pure."""

    def __init__(self, loud_dbfs: float | None, first: int = 0) -> None:
        """``loud_dbfs``: noise floor of a loud room; None where the detector never listens.

        ``first``: number of the first frame.
        """
        self._loud_dbfs = loud_dbfs
        self.restart(first)

    def restart(self, first: int, marks: Iterable[Mark] = ()) -> None:
        """Forget what was before the frame ``first``. ``marks``: the frames from there on."""
        self._known: deque[Mark] = deque(marks, maxlen=_KNOWN_FRAMES)
        self._free_from = first  # frames before this one belong to a segment
        self._rise_db = 0.0  # level above the noise floor, smoothed
        self._risen = first  # the last frame that was well above it
        self.listens_from: int | None = None
        """First frame that the voice detector is to hear; None where it need not run."""
        self.evidence = Evidence(first)
        """Evidence of a voice in the frames that are kept."""

    def resume(self, first: int, marks: Iterable[Mark]) -> None:
        """Go on after a segment that ended before ``first``, with its frames and its evidence."""
        self._known = deque(marks, maxlen=_KNOWN_FRAMES)
        self._free_from = first
        self._rise_db = 0.0
        self._risen = self._known[-1].index
        self.evidence.forget(first)

    @property
    def known_from(self) -> int | None:
        """First frame that is kept; None if none is."""
        return self._known[0].index if self._known else None

    @property
    def awaits_chunks(self) -> bool:
        """The detector listens, and a voice may have begun that it has not heard yet."""
        if self.listens_from is None or not self._known:
            return False
        return self._known[-1].index + 2 - self.evidence.scored_until >= AWAITED_FRAMES

    def marks_from(self, first: int) -> list[Mark]:
        """The kept frames from ``first`` on."""
        return [mark for mark in self._known if mark.index >= first]

    def push(self, mark: Mark) -> None:
        """Take the next frame."""
        if self._loud_dbfs is None:
            return
        self._known.append(mark)
        self._rise_db += (mark.snr_db - self._rise_db) / _RISE_FRAMES
        if self._rise_db >= _RISE_DB:
            self.listen(mark.index)
        elif mark.index - self._risen > _KNOWN_FRAMES:
            self.listens_from = None
        if self.listens_from is not None:
            self.evidence.forget(max(self._free_from, self._known[0].index))

    def listen(self, frame: int) -> None:
        """Run the voice detector, since this frame holds a sound."""
        self._risen = frame
        if self.listens_from is None:
            self.listens_from = self._known[0].index
            self.evidence = Evidence(max(self._free_from, self.listens_from))

    def is_loud(self, start: int, frame: VadFrame) -> bool:
        """Whether the room is loud, and frames from before the segment at ``start`` are kept."""
        loud = self._loud_dbfs is not None and frame.floor_dbfs >= self._loud_dbfs
        return loud and bool(self._known) and self._known[0].index <= start

    def voice(self, threshold: float) -> int | None:
        """The first frame of a voice that has begun; None if none has."""
        if self.listens_from is None or not self.evidence.hears_voice(threshold, alone=True):
            return None
        start = self.evidence.voice_start()
        return start if self.evidence.scored_until - start >= _VOICE_FRAMES else None
