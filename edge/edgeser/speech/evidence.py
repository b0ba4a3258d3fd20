"""Evidence of a voice in an open segment: a probability for each frame, and what follows."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from edgeser.pcm import FRAME_SAMPLES
from edgeser.speech.silero import CHUNK_SAMPLES
from edgeser.speech.voice import VoiceChunk

_WITHIN = 40
"""Frames that decide, the last 0.8 s: of a dog and the person after it, it is the person's."""

_WORD = 65
"""Frames of a segment that may be a single word; a longer one has more chances to pass."""

_WORD_SHARE = 5 / 8
"""Of the threshold: what is enough for a word, whose ends are hardly voiced."""

_LEAST = 15
"""Speech frames; fewer count as so many, so that a yelp is no word."""

_KNOWN_WITHIN = 20
_KNOWN_SHARE = 5 / 6
"""Frames that decide where the detector knows the noise, and of the threshold what is enough."""

_GOES_ON = 25
"""Frames without speech, at the end of which a voice may still be heard."""

_AGAIN_SHARE = 3 / 8
"""Of a threshold: what is enough in a second hearing, which is quiet."""

_SUREST = 0.999
"""No frame is surer of a voice, or that there is none, than this: log odds know no end."""

_ENOUGH = 45
"""Frames judged before it is decided while a segment goes on: with a second behind it, less the
chunk that is not full, it is told before its first window."""

_VOICE = 0.5
"""A frame less probable than this is no voice, where its beginning is looked for."""

_PAUSE = 30
"""Frames without a voice that somebody who speaks may leave."""

_ENDED = 0.1
_ENDED_FRAMES = 75
"""When no frame of so many, 1.5 s, was more probable than that, the voice has ended. Sad voices are
held for none for a second now and then."""


class Evidence:
    """Chunks of the voice detector in, judgement on frames of 20 ms out. Pure."""

    def __init__(self, first: int = 0, chunks: Iterable[VoiceChunk] = ()) -> None:
        """``first``: number of the first frame of the sound that is judged."""
        self._first = first
        self._judged = first  # the first frame of which nothing is known yet
        self._voice: list[float] = []  # probability of each frame from the first on
        self._last_voice = first - 1  # the last frame that was not quite without one
        for chunk in chunks:
            self.add(chunk)

    def add(self, chunk: VoiceChunk) -> None:
        """Take the next chunk: it judges the frames whose middle lies in it."""
        end = chunk.start + CHUNK_SAMPLES
        judged = -(-(end - FRAME_SAMPLES // 2) // FRAME_SAMPLES)
        self._voice += [chunk.probability] * (judged - max(self._judged, self._first))
        self._judged = max(self._judged, judged)
        if chunk.probability >= _ENDED:
            self._last_voice = self._judged - 1

    def forget(self, before: int) -> None:
        """Let go of the frames before this one."""
        self._voice = self._voice[before - self._first :]
        self._first = before

    @property
    def is_enough(self) -> bool:
        """So much is judged that one need not wait for the segment's end."""
        return len(self._voice) >= _ENOUGH

    def may_be_enough(self, frame: int) -> bool:
        """So much can be judged by the end of this frame."""
        return frame + 1 - self._first >= _ENOUGH

    def confirms(self, speech: Sequence[bool], threshold: float) -> bool:
        """Whether the last 0.8 s' frames of speech are a voice in the mean.

        ``speech``: which frames are speech, from the first on.
        """
        return self._mean(speech, _WITHIN) >= threshold

    def confirms_word(self, speech: Sequence[bool], frames: int, threshold: float) -> bool:
        """Whether a segment of so many ``frames``, which has ended, is a single word."""
        return frames <= _WORD and self._mean(speech, len(speech)) >= _WORD_SHARE * threshold

    def confirms_again(self, speech: Sequence[bool], threshold: float) -> bool:
        """Whether the segment's frames of speech are a voice, by chunks of a second hearing."""
        return self._mean(speech, len(speech)) >= _AGAIN_SHARE * threshold

    def log_odds_missing(self, speech: Sequence[bool], threshold: float) -> float:
        """By how much the frames of speech fall short of a threshold, as log odds in the mean.

        Without end where there are hardly any.
        """
        voice = [p for spoken, p in zip(speech, self._voice, strict=False) if spoken]
        if len(voice) < _LEAST:
            return math.inf
        return _log_odds(threshold) - sum(map(_log_odds, voice)) / len(voice)

    def hears_voice(self, threshold: float, *, alone: bool = False) -> bool:
        """Whether the last 0.4 s are a voice, by a detector that has heard the noise before.

        ``alone``: WebRTC VAD and the level do not say so, too.
        """
        voice = self._voice[-_KNOWN_WITHIN:]
        return sum(voice) >= _KNOWN_WITHIN * (1 if alone else _KNOWN_SHARE) * threshold

    @property
    def judged(self) -> int:
        """The first frame of which nothing is known yet."""
        return self._first + len(self._voice)

    @property
    def goes_on(self) -> bool:
        """Whether half of the last half second is a voice."""
        voice = self._voice[-_GOES_ON:]
        return sum(voice) >= _VOICE * _GOES_ON

    @property
    def last_voice(self) -> int:
        """The last frame that is a voice; the one before the first where there is none."""
        voiced = (i for i in reversed(range(len(self._voice))) if self._voice[i] >= _VOICE)
        return self._first + next(voiced, -1)

    def is_voice(self, frames: int) -> list[bool]:
        """Which of so many frames, from the first on, are a voice."""
        found = [probability >= _VOICE for probability in self._voice[:frames]]
        return found + [False] * (frames - len(found))

    def _mean(self, speech: Sequence[bool], within: int) -> float:
        judged = list(zip(speech, self._voice, strict=False))[-within:]
        voice = [probability for spoken, probability in judged if spoken]
        return sum(voice) / max(_LEAST, len(voice))

    def probability(self, speech: Sequence[bool], start: int, end: int) -> float:
        """Mean of the speech frames in [start, end); 0 where there are none."""
        frames = slice(start - self._first, end - self._first)
        judged = zip(speech[frames], self._voice[frames], strict=False)
        voice = [probability for spoken, probability in judged if spoken]
        return sum(voice) / len(voice) if voice else 0.0

    def begins(self, *, again: bool = False) -> int:
        """The first frame of the voice that goes on, with short pauses, up to the last one.

        The first of all where none is a voice by itself. ``again``: the chunks are of a second
        hearing.
        """
        least = _VOICE * (_AGAIN_SHARE if again else 1)
        begin = len(self._voice)
        for frame in reversed(range(len(self._voice))):
            if self._voice[frame] >= least:
                begin = frame
            elif begin < len(self._voice) and begin - frame > _PAUSE:
                break
        return self._first + (begin if begin < len(self._voice) else 0)

    @property
    def ends_at(self) -> int:
        """The first frame at whose end the voice may have ended; later if more is heard of it."""
        return max(self._first - 1, self._last_voice) + _ENDED_FRAMES

    @property
    def ended(self) -> int | None:
        """The last frame of a voice that has ended; None while it may go on."""
        if self._judged - 1 < self.ends_at:
            return None
        return max(self._first, self._last_voice)


def _log_odds(probability: float) -> float:
    p = min(max(probability, 1 - _SUREST), _SUREST)
    return math.log(p / (1 - p))
