"""Whether a segment that WebRTC VAD proposed is a voice, while it goes on and at its end.

While it goes on, Silero VAD alone decides. A segment that would be refused at its end has two more
chances: how harmonic it is, and its score at reduced gain (the second pass of docs/speech.md).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from edgeser.pcm import FRAME_SAMPLES
from edgeser.speech.evidence import Evidence
from edgeser.speech.open_segment import OpenSegment
from edgeser.speech.voice import VoiceChunk

_DB_AS_LOG_ODDS = 1 / 3
_HARMONIC_DB = 15.0
"""Each decibel of the harmonics-to-noise ratio, up to 15 dB, adds 1/3 to the log odds of a voice. A
higher ratio is no better evidence: few voices reach 20 dB, and every beep does."""


class Judge:
    """Decides where in an open segment a voice begins. Pure but for the functions it is given."""

    def __init__(
        self,
        threshold: float | None,
        rescore_quiet: Callable[[int, int], Sequence[VoiceChunk]],
        hnr_db: Callable[[int, int], float],
    ) -> None:
        """``threshold``: how probable a voice must be; None where every segment is announced.

        ``rescore_quiet``: the chunks of the samples [start, end), scored again at reduced gain.
        ``hnr_db``: their harmonics-to-noise ratio.
        """
        self.threshold = threshold
        self._rescore_quiet = rescore_quiet
        self._hnr_db = hnr_db

    def is_voice(self, segment: OpenSegment) -> bool:
        """Whether the last frames of a segment sound like a voice."""
        return self.threshold is None or segment.sounds_like_a_voice(self.threshold)

    def voice_start(self, segment: OpenSegment) -> int | None:
        """The first frame of the voice in an open segment; None if no voice is known yet.

        Also None if the segment is already confirmed.
        """
        if segment.confirmed or not self.is_voice(segment):
            return None
        return segment.evidence.voice_start()

    def voice_start_at_end(self, segment: OpenSegment, end: int) -> int | None:
        """The same for a proposed segment that ends with the frame before ``end``."""
        threshold = self.threshold
        if threshold is None:
            return None
        if segment.sounds_like_a_word(end, threshold):
            return segment.evidence.voice_start()
        if segment.knows_room and segment.sounds_like_a_voice(threshold):
            return segment.evidence.voice_start()
        return segment.start if self._is_harmonic(segment, end, threshold) else None

    def voice_start_rescored(self, segment: OpenSegment, end: int) -> int | None:
        """The same, with the segment scored again at reduced gain: its last chance."""
        if self.threshold is None:
            return None
        evidence = Evidence(segment.start, self._rescore_quiet(*_samples_of(segment, end)))
        if not evidence.confirms_rescored(segment.speech, self.threshold):
            return None
        return evidence.voice_start(rescored=True)

    def voice_end(self, segment: OpenSegment) -> int | None:
        """The last frame of the voice in a confirmed segment, if that voice has ended by now."""
        confirmed = self.threshold is not None and segment.confirmed
        return segment.evidence.voice_end if confirmed else None

    def probability(self, segment: OpenSegment, start: int, end: int) -> float | None:
        """That the speech in the frames [start, end) is a voice; None without a threshold."""
        return None if self.threshold is None else segment.speech_probability(start, end)

    def _is_harmonic(self, segment: OpenSegment, end: int, threshold: float) -> bool:
        """Whether a segment is so harmonic that a lower probability is enough."""
        missing = segment.evidence.log_odds_missing(segment.speech, threshold)
        if missing > _HARMONIC_DB * _DB_AS_LOG_ODDS:
            return False
        hnr_db = self._hnr_db(*_samples_of(segment, end))
        return missing <= min(hnr_db, _HARMONIC_DB) * _DB_AS_LOG_ODDS


def _samples_of(segment: OpenSegment, end: int) -> tuple[int, int]:
    """Where a segment that ends with the frame before ``end`` lies, in samples."""
    return segment.start * FRAME_SAMPLES, end * FRAME_SAMPLES
