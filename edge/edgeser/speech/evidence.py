"""Evidence of a voice in an open segment: a probability for each frame, and what it means."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from edgeser.pcm import FRAME_SAMPLES
from edgeser.speech.silero import CHUNK_SAMPLES
from edgeser.speech.voice import VoiceChunk

_WITHIN = 40
"""The last 0.8 s of frames decide: when a person speaks after a dog has barked, the person does."""

_WORD = 65
"""Most frames of a segment that may be a single word; a longer one has more chances to pass."""

_WORD_SHARE = 5 / 8
"""Share of the threshold that is enough for a word, whose ends are hardly voiced."""

_MIN_SPEECH_FRAMES = 15
"""A mean is taken over at least this many speech frames, so that a yelp does not pass as a word."""

_KNOWN_WITHIN = 20
_KNOWN_SHARE = 5 / 6
"""Where the detector has heard the noise before: frames that decide, and the share of the threshold
that is enough."""

_RECENT_FRAMES = 25
"""The latest frames, which must hold a voice for it to persist where the level shows no speech."""

_RESCORED_SHARE = 3 / 8
"""Share of the threshold that is enough at reduced gain."""

_MAX_PROBABILITY = 0.999
"""Probabilities are clipped to [1 - this, this], since log odds have no bounds."""

_MIN_SCORED_FRAMES = 45
"""Frames to score before an open segment can be confirmed. It can then be announced before its
first window, which is full after a second."""

_VOICE = 0.5
"""A frame of at least this probability counts as voice when the start of a voice is sought."""

_PAUSE = 30
"""Longest pause of a speaker, in frames."""

_ENDED = 0.1
_ENDED_FRAMES = 75
"""The voice has ended when for 75 frames, 1.5 s, none was as probable as 0.1. Sad voices score
lower for a second now and then."""


class Evidence:
    """Chunks of the voice detector in, decisions on frames of 20 ms out. Pure."""

    def __init__(self, first: int = 0, chunks: Iterable[VoiceChunk] = ()) -> None:
        """``first``: number of the first frame to be scored."""
        self._first = first
        self._voice: list[float] = []  # probability of each frame from the first on
        self._last_voice = first - 1  # the last frame of at least `_ENDED`
        for chunk in chunks:
            self.add(chunk)

    def add(self, chunk: VoiceChunk) -> None:
        """Take the next chunk: it scores the frames whose middle lies in it."""
        end = chunk.start + CHUNK_SAMPLES
        scored_until = -(-(end - FRAME_SAMPLES // 2) // FRAME_SAMPLES)
        self._voice += [chunk.probability] * (scored_until - self.scored_until)
        if chunk.probability >= _ENDED:
            self._last_voice = self.scored_until - 1

    def forget(self, before: int) -> None:
        """Drop the frames before this one."""
        self._voice = self._voice[before - self._first :]
        self._first = before

    @property
    def is_enough(self) -> bool:
        """Enough frames are scored to decide before the segment ends."""
        return len(self._voice) >= _MIN_SCORED_FRAMES

    def may_be_enough(self, frame: int) -> bool:
        """Enough frames can be scored by the end of this one."""
        return frame + 1 - self._first >= _MIN_SCORED_FRAMES

    def confirms(self, speech: Sequence[bool], threshold: float) -> bool:
        """Whether the speech frames of the last 0.8 s are a voice on average.

        ``speech``: which frames are speech, from the first on.
        """
        return self._mean(speech, _WITHIN) >= threshold

    def confirms_word(self, speech: Sequence[bool], frames: int, threshold: float) -> bool:
        """Whether a segment that has ended is a single word. ``frames``: its length."""
        return frames <= _WORD and self._mean(speech, len(speech)) >= _WORD_SHARE * threshold

    def confirms_rescored(self, speech: Sequence[bool], threshold: float) -> bool:
        """Whether the segment's speech frames are a voice, scored at reduced gain."""
        return self._mean(speech, len(speech)) >= _RESCORED_SHARE * threshold

    def log_odds_missing(self, speech: Sequence[bool], threshold: float) -> float:
        """By how much the mean log odds of the speech frames fall short of a threshold's.

        Infinite with too few of them.
        """
        voice = [p for spoken, p in zip(speech, self._voice, strict=False) if spoken]
        if len(voice) < _MIN_SPEECH_FRAMES:
            return math.inf
        return _log_odds(threshold) - sum(map(_log_odds, voice)) / len(voice)

    def hears_voice(self, threshold: float, *, alone: bool = False) -> bool:
        """Whether the last 0.4 s are a voice, for a detector that has heard the noise before.

        ``alone``: it decides alone, without WebRTC VAD and the level, and needs more.
        """
        voice = self._voice[-_KNOWN_WITHIN:]
        return sum(voice) >= _KNOWN_WITHIN * (1 if alone else _KNOWN_SHARE) * threshold

    @property
    def scored_until(self) -> int:
        """The first frame without a probability."""
        return self._first + len(self._voice)

    @property
    def voice_persists(self) -> bool:
        """Whether the last half second is a voice."""
        voice = self._voice[-_RECENT_FRAMES:]
        return sum(voice) >= _VOICE * _RECENT_FRAMES

    @property
    def last_voice(self) -> int:
        """The last frame that is a voice; the frame before the first one if none is."""
        voiced = (i for i in reversed(range(len(self._voice))) if self._voice[i] >= _VOICE)
        return self._first + next(voiced, -1)

    def is_voice(self, frames: int) -> list[bool]:
        """Whether each of the first ``frames`` frames is a voice."""
        found = [probability >= _VOICE for probability in self._voice[:frames]]
        return found + [False] * (frames - len(found))

    def _mean(self, speech: Sequence[bool], within: int) -> float:
        scored = list(zip(speech, self._voice, strict=False))[-within:]
        voice = [probability for spoken, probability in scored if spoken]
        return sum(voice) / max(_MIN_SPEECH_FRAMES, len(voice))

    def probability(self, speech: Sequence[bool], start: int, end: int) -> float:
        """Mean probability of the speech frames in [start, end); 0 if there are none."""
        frames = slice(start - self._first, end - self._first)
        scored = zip(speech[frames], self._voice[frames], strict=False)
        voice = [probability for spoken, probability in scored if spoken]
        return sum(voice) / len(voice) if voice else 0.0

    def voice_start(self, *, rescored: bool = False) -> int:
        """The first frame of the last voice, which may have short pauses.

        If no frame is a voice by itself: the very first frame. ``rescored``: the chunks were scored
        at reduced gain.
        """
        threshold = _VOICE * (_RESCORED_SHARE if rescored else 1)
        start = len(self._voice)
        for frame in reversed(range(len(self._voice))):
            if self._voice[frame] >= threshold:
                start = frame
            elif start < len(self._voice) and start - frame > _PAUSE:
                break
        return self._first + (start if start < len(self._voice) else 0)

    @property
    def ends_at(self) -> int:
        """The first frame at whose end the voice may have ended; it moves as the voice goes on."""
        return max(self._first - 1, self._last_voice) + _ENDED_FRAMES

    @property
    def voice_end(self) -> int | None:
        """The last frame of a voice that has ended; None while it may go on."""
        if self.scored_until - 1 < self.ends_at:
            return None
        return max(self._first, self._last_voice)


def _log_odds(probability: float) -> float:
    p = min(max(probability, 1 - _MAX_PROBABILITY), _MAX_PROBABILITY)
    return math.log(p / (1 - p))
