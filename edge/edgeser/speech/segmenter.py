"""Segments and windows of speech: a pure state machine over VAD frames.

A segment begins when enough of the last frames are speech, and reaches back to the first of them
and the pre-roll before it. It ends when nothing was speech for a while, and keeps the hangover
after its last speech. What follows shares no sample with it. All positions are absolute samples
of the stream, multiples of a frame.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from edgeser.pcm import FRAME_SAMPLES
from edgeser.speech.config import SegmenterConfig
from edgeser.speech.evidence import Evidence
from edgeser.speech.outputs import NoFinal, SegmentEnded, SegmenterOutput, SegmentStarted, WindowDue
from edgeser.speech.vad import VadFrame
from edgeser.speech.voice import VoiceChunk


@dataclass(frozen=True, slots=True)
class _Mark:
    """What is remembered of a frame."""

    index: int
    speech: bool
    level_dbfs: float


_LEAD = 25
"""Frames in front of a voice that stay in its segment; a longer lead is something else's."""


class Segmenter:
    """VAD frames in, segments and windows out. Frames must follow each other without a gap."""

    def __init__(
        self,
        config: SegmenterConfig,
        position: int = 0,
        segments: int = 0,
        *,
        again: Callable[[int, int], Sequence[VoiceChunk]] = lambda start, end: (),
    ) -> None:
        """``position``: of the first sample, a multiple of a frame.

        ``segments``: how many came before; numbers go on from there. ``again``: the chunks of a
        second hearing of the samples [start, end), a segment that has just ended.
        """
        self.segments = segments
        self._again = again
        self._config = config
        self._free_from = position // FRAME_SAMPLES  # first frame that belongs to no segment yet
        self._recent: deque[_Mark] = deque(maxlen=config.start_within)  # while waiting for speech
        self._marks: list[_Mark] = []  # of the open segment, from its first frame on
        self._evidence = Evidence()  # of a voice in them
        self._judged_from = 0  # first frame that the voice detector heard
        self._proposed_from = 0  # first frame of the segment when it was proposed
        self._confirmed = False
        self._start = 0  # first frame of the open segment
        self._last_speech: int | None = None  # in the open segment
        self._first_speech: int | None = None
        self._is_rest = False  # the open segment carries on after a cut
        self._calm_until = 0  # before this frame nothing is told, as far as was looked

    @property
    def is_open(self) -> bool:
        """There is a segment, if only a proposed one."""
        return bool(self._marks)

    @property
    def is_quiet(self) -> bool:
        """No segment is open, and nothing of late could be the beginning of one."""
        return not self._marks and not any(mark.speech for mark in self._recent)

    @property
    def in_speech(self) -> bool:
        """There is a segment, and it was told."""
        return self.is_open and self._confirmed

    @property
    def judge_from(self) -> int | None:
        """First sample that the voice detector is to hear; None where it has nothing to do.

        Another value than before is another sound: what was before it does not count.
        """
        if self._config.confirm is None or not self._marks:
            return None
        return self._judged_from * FRAME_SAMPLES

    @property
    def calm_frames(self) -> int:
        """So many frames from now on tell nothing, whatever is in them; 0 if that is not known.

        It is known of a segment that was told: when its next window is full, and when it could end
        or be cut at the soonest.
        """
        if not self.in_speech:
            return 0
        config, frame = self._config, self._marks[-1].index + 1
        length = frame - self._start
        until_window = config.window_minimum - length
        if until_window <= 0:
            until_window = config.hop - -until_window % config.hop
        until_told = min(
            until_window, self._heard_last + config.end + 1 - frame, config.maximum - length
        )
        if config.confirm is not None:
            until_told = min(until_told, self._evidence.ends_at + 1 - frame)
        calm = max(0, until_told - 1)
        self._calm_until = frame + calm
        return calm

    @property
    def awaits_every_chunk(self) -> bool:
        """What the voice detector can hear by the end of the next frame is to be heard.

        The frame may decide whether the open segment is told, whether its voice has ended, or goes
        on after a cut; or it is the last one before something may be told that has a probability.
        """
        if not self._marks:
            return False
        frame = self._marks[-1].index + 1
        if frame + 1 < self._calm_until:
            return False
        if self._confirmed:
            is_cut = frame + 1 - self._start >= self._config.maximum
            return is_cut or frame >= self._evidence.ends_at or self.calm_frames == 1
        may_end = frame - self._heard_last >= self._config.end
        return may_end or self._evidence.may_be_enough(frame)

    @property
    def needed_from(self) -> int:
        """No later output will start before this sample, but for what is told as no speech."""
        if self._marks:
            return self._start * FRAME_SAMPLES
        oldest = self._recent[0].index if self._recent else self._free_from
        return max(self._free_from, oldest - self._config.pre_roll) * FRAME_SAMPLES

    def push(self, frame: VadFrame, voice: Sequence[VoiceChunk] = ()) -> list[SegmenterOutput]:
        """Take the next frame; say what it starts, fills or ends.

        ``voice``: of the chunks from ``judge_from`` on that end in this frame or before it the
        next ones, all of them where it ``awaits_every_chunk``.
        """
        for chunk in voice:
            self._evidence.add(chunk)
        threshold = self._config.end_snr_db if self._marks else self._config.start_snr_db
        speech = frame.voiced and frame.snr_db >= threshold
        mark = _Mark(frame.start // FRAME_SAMPLES, speech, frame.level_dbfs)
        return self._continue(mark) if self._marks else self._wait(mark)

    def flush(self, voice: Sequence[VoiceChunk] = ()) -> list[SegmenterOutput]:
        """The stream ends or breaks here: end the open segment with what there is.

        ``voice``: the chunks that were not given.
        """
        for chunk in voice:
            self._evidence.add(chunk)
        outputs = self._end() if self._marks else []
        self._recent.clear()
        return outputs

    def restart(self, position: int) -> None:
        """Go on at ``position`` (samples, a multiple of a frame) after ``flush`` and a gap."""
        self._free_from = position // FRAME_SAMPLES

    def _wait(self, mark: _Mark) -> list[SegmenterOutput]:
        self._recent.append(mark)
        speech = [m.index for m in self._recent if m.speech]
        if len(speech) < self._config.start:
            return []
        self._start = max(self._free_from, speech[0] - self._config.pre_roll)
        pre_roll = [_Mark(i, False, 0.0) for i in range(self._start, self._recent[0].index)]
        self._marks = pre_roll + [m for m in self._recent if m.index >= self._start]
        self._recent.clear()
        self._first_speech, self._last_speech = speech[0], speech[-1]
        self._judged_from = self._start
        self._evidence = Evidence(self._start)
        self._is_rest = False
        return self._propose(confirmed=self._config.confirm is None)

    def _propose(self, *, confirmed: bool) -> list[SegmenterOutput]:
        """A segment begins where the open frames do."""
        self.segments += 1
        self._proposed_from = self._start
        self._confirmed = confirmed
        return [self._started()] if confirmed else []

    def _continue(self, mark: _Mark) -> list[SegmenterOutput]:
        self._marks.append(mark)
        if mark.speech:
            self._last_speech = mark.index
            if self._first_speech is None:
                self._first_speech = mark.index
        if mark.index < self._calm_until:
            return []
        end = mark.index + 1
        heard_last = self._heard_last
        if mark.index - heard_last >= self._config.end or self._fell_silent is not None:
            return self._end()
        outputs = self._confirm() if self._evidence.is_enough else []
        if end - self._start >= self._config.maximum:
            return outputs + self._cut()
        if not self._confirmed or mark.index - heard_last > self._config.hangover:
            return outputs  # a window here would end after its segment if no more speech comes
        return outputs + self._window(end)

    @property
    def _heard_last(self) -> int:
        """The last speech frame of the open segment; the one before it where there is none."""
        return self._start - 1 if self._last_speech is None else self._last_speech

    def _window(self, end: int) -> list[SegmenterOutput]:
        config = self._config
        length = end - self._start
        if length < config.window_minimum or (length - config.window_minimum) % config.hop:
            return []
        start = max(self._start, end - config.window)
        return [
            WindowDue(
                self.segments,
                start * FRAME_SAMPLES,
                end * FRAME_SAMPLES,
                self._start * FRAME_SAMPLES,
                self._speech_ratio(start, end),
                self._speech_probability(start, end),
            )
        ]

    def _end(self) -> list[SegmenterOutput]:
        now = self._marks[-1].index + 1
        last = self._heard_last
        end = min(now, last + 1 + self._config.hangover)
        silent_from = self._fell_silent
        outputs = self._confirm_ended(end)
        if silent_from is not None:  # what was loud after it is no speech
            last = max(self._start, min(last, silent_from))
            end = min(end, last + 1 + self._config.hangover)
        spoken = 0 if self._first_speech is None else last + 1 - self._first_speech
        heard = spoken > 0 if self._is_rest else spoken >= max(1, self._config.minimum)
        ended = self._ended(end, continued=False, heard=heard)
        self._marks = []
        self._calm_until = 0
        self._free_from = end
        return [*outputs, ended]

    def _cut(self) -> list[SegmenterOutput]:
        """Split the open segment at the quietest point of its second half."""
        now = self._marks[-1].index + 1
        first = self._start + (now - self._start) // 2
        if not self._confirmed:  # nobody knows of it: its first half is forgotten
            self._begin_at(first)
            return []
        levels = np.array([m.level_dbfs for m in self._marks[first - self._start :]])
        smooth = np.convolve(np.pad(levels, 1, mode="edge"), np.ones(3) / 3, mode="valid")
        # The last of equally quiet frames, so that the first part is as long as it may be.
        cut = now - 1 - int(np.argmin(smooth[::-1]))
        cut = max(first, min(cut, now - 1))
        ended = self._ended(cut, continued=True, heard=True)
        goes_on = self._sounds_like_a_voice()  # on both sides of the cut
        self._begin_at(cut)
        self._free_from = cut
        self._is_rest = True
        return [ended, *self._propose(confirmed=goes_on)]

    def _begin_at(self, start: int) -> None:
        """Let go of the open frames before this one."""
        self._calm_until = 0
        self._marks = self._marks[start - self._start :]
        self._evidence.forget(start)
        speech = [m.index for m in self._marks if m.speech]
        self._first_speech, self._last_speech = (speech[0], speech[-1]) if speech else (None, None)
        self._start = start

    def _confirm(self) -> list[SegmenterOutput]:
        """Tell the proposed segment, if its last frames sound like a voice."""
        if self._confirmed or not self._sounds_like_a_voice():
            return []
        return self._told(self._evidence.begins())

    def _confirm_ended(self, end: int) -> list[SegmenterOutput]:
        """Tell the proposed segment that ends here, if it is a word, or a voice the second time."""
        threshold = self._config.confirm
        if self._confirmed or threshold is None:
            return []
        if self._evidence.confirms_word(self._speech, end - self._start, threshold):
            return self._told(self._evidence.begins())
        chunks = self._again(self._start * FRAME_SAMPLES, end * FRAME_SAMPLES)
        heard = Evidence(self._start, chunks)
        if not heard.confirms_again(self._speech, threshold):
            return []
        return self._told(heard.begins(again=True))

    def _told(self, voice_begins: int) -> list[SegmenterOutput]:
        self._confirmed = True
        begin = voice_begins - self._config.pre_roll
        if begin > self._start + _LEAD:
            self._begin_at(begin)
        return [self._started()]

    def _sounds_like_a_voice(self) -> bool:
        threshold = self._config.confirm
        return threshold is None or self._evidence.confirms(self._speech, threshold)

    @property
    def _fell_silent(self) -> int | None:
        """The last frame of the voice that confirmed the segment, if it has ended by now."""
        judged = self._config.confirm is not None and self.in_speech
        return self._evidence.ended if judged else None

    @property
    def _speech(self) -> list[bool]:
        """Which frames of the open segment are speech."""
        return [mark.speech for mark in self._marks]

    def _started(self) -> SegmentStarted:
        return SegmentStarted(self.segments, self._start * FRAME_SAMPLES)

    def _ended(self, end: int, *, continued: bool, heard: bool) -> SegmentEnded:
        no_final: NoFinal | None = None if heard else "too_short"
        return SegmentEnded(
            self.segments,
            (self._start if self._confirmed else self._proposed_from) * FRAME_SAMPLES,
            end * FRAME_SAMPLES,
            self._speech_ratio(self._start, end),
            self._speech_probability(self._start, end),
            continued,
            no_final if self._confirmed else "not_speech",
        )

    def _speech_ratio(self, start: int, end: int) -> float:
        speech = self._speech[start - self._start : end - self._start]
        # The rest after a cut may end where it begins, if the settings leave no hangover.
        return sum(speech) / max(1, len(speech))

    def _speech_probability(self, start: int, end: int) -> float | None:
        if self._config.confirm is None:
            return None
        return self._evidence.probability(self._speech, start, end)
