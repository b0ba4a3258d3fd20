"""Whether a segment that WebRTC VAD proposed is a voice, and is told: while it goes on, at its end.

While it goes on Silero VAD alone decides. At the end there are two more witnesses, which are asked
for what would be refused only: how harmonic the sound is, and what the detector makes of it a
second time, when it is quiet.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from edgeser.pcm import FRAME_SAMPLES
from edgeser.speech.evidence import Evidence
from edgeser.speech.open_segment import OpenSegment
from edgeser.speech.voice import VoiceChunk

_DB_AS_LOG_ODDS = 1 / 3
_HARMONIC_DB = 15.0
"""Each decibel of the harmonics-to-noise ratio, up to this one, is worth so much of the log odds of
a voice. More is no more of a voice: few have 20 dB, and every beep."""


class Judge:
    """Says from where an open segment is a voice. Pure, but for what it asks its witnesses."""

    def __init__(
        self,
        threshold: float | None,
        again: Callable[[int, int], Sequence[VoiceChunk]],
        hnr_db: Callable[[int, int], float],
    ) -> None:
        """``threshold``: how probable a voice must be; None where everything is told.

        ``again``: the chunks of a second hearing of the samples [start, end). ``hnr_db``: their
        harmonics-to-noise ratio.
        """
        self.threshold = threshold
        self._again = again
        self._hnr_db = hnr_db

    def is_voice(self, segment: OpenSegment) -> bool:
        """Whether the last frames of a segment sound like a voice."""
        return self.threshold is None or segment.sounds_like_a_voice(self.threshold)

    def voice(self, segment: OpenSegment) -> int | None:
        """The first frame of the voice in a segment that goes on; None if it is not known for one.

        Nor is it where the segment was told already.
        """
        if segment.confirmed or not self.is_voice(segment):
            return None
        return segment.evidence.begins()

    def voice_at_end(self, segment: OpenSegment, end: int) -> int | None:
        """Likewise, of a proposed segment that ends with the frame before ``end``."""
        threshold = self.threshold
        if threshold is None:
            return None
        if segment.sounds_like_a_word(end, threshold):
            return segment.evidence.begins()
        if segment.knows_room and segment.sounds_like_a_voice(threshold):
            return segment.evidence.begins()
        return segment.start if self._is_harmonic(segment, end, threshold) else None

    def voice_heard_again(self, segment: OpenSegment, end: int) -> int | None:
        """Likewise, when the detector hears the segment a second time: the last chance."""
        if self.threshold is None:
            return None
        heard = Evidence(segment.start, self._again(*_samples_of(segment, end)))
        if not heard.confirms_again(segment.speech, self.threshold):
            return None
        return heard.begins(again=True)

    def last_voice(self, segment: OpenSegment) -> int | None:
        """The last frame of the voice that confirmed a segment, if it has ended by now."""
        judged = self.threshold is not None and segment.confirmed
        return segment.evidence.ended if judged else None

    def probability(self, segment: OpenSegment, start: int, end: int) -> float | None:
        """That the speech in the frames [start, end) is a voice; None where nothing judges that."""
        return None if self.threshold is None else segment.speech_probability(start, end)

    def _is_harmonic(self, segment: OpenSegment, end: int, threshold: float) -> bool:
        """Whether a segment is so harmonic that a lower probability will do."""
        missing = segment.evidence.log_odds_missing(segment.speech, threshold)
        if missing > _HARMONIC_DB * _DB_AS_LOG_ODDS:
            return False
        hnr_db = self._hnr_db(*_samples_of(segment, end))
        return missing <= min(hnr_db, _HARMONIC_DB) * _DB_AS_LOG_ODDS


def _samples_of(segment: OpenSegment, end: int) -> tuple[int, int]:
    """Where a segment that ends with the frame before ``end`` lies, in samples."""
    return segment.start * FRAME_SAMPLES, end * FRAME_SAMPLES
