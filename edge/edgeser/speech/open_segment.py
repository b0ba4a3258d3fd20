"""The open segment: its frames, which of them are speech, and the evidence of a voice in them."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np

from edgeser.speech.evidence import Evidence

_MAX_LEAD_IN_FRAMES = 25
"""Frames before a voice that stay in its segment; a longer lead-in belongs to something else."""

_LOW_SNR_DB = 18.0
"""In a segment whose loudest frame has a lower SNR, some frames of the voice do not stand out."""


class Mark(msgspec.Struct, frozen=True, gc=False):
    """A frame of the segment. ``speech``: by WebRTC VAD and the level above the noise floor."""

    index: int
    speech: bool
    level_dbfs: float
    snr_db: float


class OpenSegment:
    """A segment that is still open. Its first frame may change until the segment is announced."""

    def __init__(
        self,
        marks: Sequence[Mark],
        evidence: Evidence,
        *,
        confirmed: bool,
        knows_room: bool = False,
        voice_driven: bool = False,
    ) -> None:
        """``marks``: its first frames. ``confirmed``: it is announced.

        ``knows_room``: the evidence is from a detector that heard the room before it.
        ``voice_driven``: every frame that is a voice is speech, however quiet.
        """
        self.marks = list(marks)
        self.start = self.proposed_from = self.scored_from = marks[0].index
        self.evidence = evidence
        self.confirmed = confirmed
        self.knows_room = knows_room
        self.voice_driven = voice_driven
        self.calm_until = 0
        """No frame before this one can produce an output; the segmenter keeps it up to date."""
        self.is_continuation = False
        """It continues one that was cut at the maximum length."""
        self.first_speech: int | None = None
        self._last_speech: int | None = None
        evidence.forget(self.start)
        self._find_speech()

    def add(self, mark: Mark) -> None:
        """Take the next frame."""
        self.marks.append(mark)
        if mark.speech:
            self._last_speech = mark.index
            if self.first_speech is None:
                self.first_speech = mark.index

    def begin_at(self, start: int) -> None:
        """Drop the frames before this one."""
        self.marks = self.marks[start - self.start :]
        self.evidence.forget(start)
        self.start = start
        self._find_speech()

    def begin_with_voice(self, voice: int, pre_roll: int) -> None:
        """Drop what came before a voice, if it is more than the voice's own lead-in."""
        if voice - pre_roll > self.start + _MAX_LEAD_IN_FRAMES:
            self.begin_at(voice - pre_roll)

    @property
    def next_frame(self) -> int:
        """Number of the frame after its last one."""
        return self.marks[-1].index + 1

    @property
    def speech(self) -> list[bool]:
        """For each frame, whether it is speech."""
        speech = [mark.speech for mark in self.marks]
        if not self.voice_driven:
            return speech
        voice = self.evidence.is_voice(len(speech))
        return [heard or loud for heard, loud in zip(voice, speech, strict=True)]

    @property
    def last_speech(self) -> int:
        """The last frame of speech; the frame before the first one if there is none."""
        last = self.start - 1 if self._last_speech is None else self._last_speech
        return max(last, self.evidence.last_voice) if self.voice_driven else last

    @property
    def voice_persists(self) -> bool:
        """The voice goes on, but the level does not show it because the room is too loud."""
        return (
            self.confirmed
            and self.knows_room
            and not self.voice_driven
            and self.evidence.voice_persists
            and max(mark.snr_db for mark in self.marks) < _LOW_SNR_DB
        )

    def quietest_from(self, first: int) -> int:
        """The quietest frame from ``first`` on, averaged with its neighbours; the last if equal."""
        levels = np.array([mark.level_dbfs for mark in self.marks[first - self.start :]])
        smooth = np.convolve(np.pad(levels, 1, mode="edge"), np.ones(3) / 3, mode="valid")
        return self.marks[-1].index - int(np.argmin(smooth[::-1]))

    def sounds_like_a_voice(self, threshold: float) -> bool:
        """Whether its last frames sound like a voice."""
        if self.knows_room:
            return self.evidence.hears_voice(threshold)
        return self.evidence.confirms(self.speech, threshold)

    def sounds_like_a_word(self, end: int, threshold: float) -> bool:
        """Whether it is a single word that ends with the frame before ``end``."""
        return self.evidence.confirms_word(self.speech, end - self.start, threshold)

    def speech_ratio(self, start: int, end: int) -> float:
        """Share of the frames [start, end) that are speech."""
        speech = self.speech[start - self.start : end - self.start]
        # Without a hangover, the rest of a segment that was cut may be empty.
        return sum(speech) / max(1, len(speech))

    def speech_probability(self, start: int, end: int) -> float:
        """Mean probability that the speech in the frames [start, end) is a voice."""
        return self.evidence.probability(self.speech, start, end)

    def _find_speech(self) -> None:
        speech = [self.start + i for i, spoken in enumerate(self.speech) if spoken]
        self.first_speech = speech[0] if speech else None
        self._last_speech = speech[-1] if speech else None
