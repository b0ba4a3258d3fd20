"""What confirms the open segment: which of its sound the voice detector hears, and when."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from edgeser.pcm import Samples
from edgeser.speech.harmonicity import hnr_db
from edgeser.speech.segmenter import Segmenter
from edgeser.speech.silero import CHUNK_SAMPLES
from edgeser.speech.voice import MOST_SAMPLES, VoiceChunk, VoiceDetector, voice_network


class Confirmation:
    """The witnesses that a segmenter asks, for the sound of one stream."""

    def __init__(self, samples: Callable[[int, int], Samples], *, confirm: bool) -> None:
        """``samples``: those of the stream from one position to another. ``confirm``: without it
        nobody hears anything. Raises UserError when the detector cannot be loaded.
        """
        self._samples = samples
        self._detector = VoiceDetector(voice_network()) if confirm else None
        self._from: int | None = None  # where the sound begins that the detector hears

    def needed_from(self, segmenter: Segmenter) -> int:
        """First sample that is still to be cut, or to be heard by the detector."""
        needed = segmenter.needed_from
        if self._detector is None or segmenter.judge_from is None:
            return needed
        return min(needed, self._detector.position)

    def heard(
        self, segmenter: Segmenter, end: int, *, at_last: bool = False
    ) -> Sequence[VoiceChunk]:
        """What the detector makes of the open segment up to the sample ``end``.

        Chunks wait until they fill a run, or every one is awaited, or the sound ends: ``at_last``.
        """
        wanted = segmenter.judge_from
        if self._detector is None or wanted is None:
            return ()
        if wanted != self._from:
            self._from = wanted
            self._detector.restart(wanted)
        waiting = end - self._detector.position
        if waiting < CHUNK_SAMPLES:
            return ()
        if not at_last and not segmenter.awaits_every_chunk:
            if waiting < MOST_SAMPLES:
                return ()
            end -= waiting % MOST_SAMPLES
        return self._detector.hear(self._samples(self._detector.position, end))

    def again(self, start: int, end: int) -> list[VoiceChunk]:
        """What it makes of the samples [start, end) when it hears them a second time."""
        if self._detector is None:
            return []
        return self._detector.again(self._samples(start, end), start)

    def hnr_db(self, start: int, end: int) -> float:
        """How harmonic the samples [start, end) are."""
        return hnr_db(self._samples(start, end))
