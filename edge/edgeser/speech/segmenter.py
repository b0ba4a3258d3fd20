"""Segments and windows of speech: a pure state machine over VAD frames.

A segment begins when enough of the last frames are speech, and reaches back to the first of them
and the pre-roll before it. It ends when nothing was speech for a while, and keeps the hangover
after its last speech. Where a voice is hardly louder than the room, the voice detector decides
both. The next segment shares no sample with it. All positions are absolute samples of the stream,
multiples of a frame.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence

from edgeser.pcm import FRAME_SAMPLES
from edgeser.speech import pace
from edgeser.speech.config import SegmenterConfig
from edgeser.speech.evidence import Evidence
from edgeser.speech.harmonicity import NOT_HARMONIC_DB
from edgeser.speech.judge import Judge
from edgeser.speech.open_segment import Mark, OpenSegment
from edgeser.speech.outputs import NoFinal, SegmentEnded, SegmenterOutput, SegmentStarted, WindowDue
from edgeser.speech.room import Room
from edgeser.speech.vad import VadFrame
from edgeser.speech.voice import VoiceChunk


class Segmenter:
    """VAD frames in, segments and windows out. Frames must follow each other without a gap."""

    def __init__(
        self,
        config: SegmenterConfig,
        position: int = 0,
        segments: int = 0,
        *,
        rescore_quiet: Callable[[int, int], Sequence[VoiceChunk]] = lambda start, end: (),
        hnr_db: Callable[[int, int], float] = lambda start, end: NOT_HARMONIC_DB,
    ) -> None:
        """``position``: of the first sample, a multiple of a frame.

        ``segments``: how many came before; numbers go on from there. ``rescore_quiet``: the chunks
        of the samples [start, end), a segment that has just ended, scored again at reduced gain.
        ``hnr_db``: their harmonics-to-noise ratio.
        """
        self.segments = segments
        self._config = config
        self._judge = Judge(config.confirm, rescore_quiet, hnr_db)
        self._free_from = position // FRAME_SAMPLES  # first frame that belongs to no segment yet
        self._recent: deque[Mark] = deque(maxlen=config.start_within)  # while waiting for speech
        self._room = Room(config.loud_dbfs, self._free_from)  # likewise
        self._segment: OpenSegment | None = None

    @property
    def is_open(self) -> bool:
        """There is a segment, even if only a proposed one."""
        return self._segment is not None

    @property
    def is_quiet(self) -> bool:
        """No segment is open, and no recent frame could be the beginning of one."""
        sound = self.is_open or self._room.listens_from is not None
        return not sound and not any(mark.speech for mark in self._recent)

    @property
    def in_speech(self) -> bool:
        """There is a segment, and it was announced."""
        return self._segment is not None and self._segment.confirmed

    @property
    def score_from(self) -> int | None:
        """First sample that the voice detector is to score; None where it has nothing to do.

        When the value changes, the detector restarts there.
        """
        segment = self._segment
        if self._config.confirm is None:
            return None
        alone = segment is not None and not segment.knows_room
        start = segment.scored_from if segment and alone else self._room.listens_from
        return None if start is None else start * FRAME_SAMPLES

    @property
    def calm_frames(self) -> int:
        """How many of the next frames can produce no output whatever they hold; 0 if unknown."""
        segment = self._segment
        return 0 if segment is None else max(0, segment.calm_until - segment.next_frame)

    @property
    def awaits_every_chunk(self) -> bool:
        """The voice detector must score everything up to the end of the next frame."""
        if self._segment is None:
            return self._room.awaits_chunks
        return pace.awaits_every_chunk(self._segment, self._config)

    @property
    def needed_from(self) -> int:
        """No later output will start before this sample, except ends of unconfirmed segments."""
        if self._segment is not None:
            return self._segment.start * FRAME_SAMPLES
        oldest = self._recent[0].index if self._recent else self._free_from
        needed = max(self._free_from, oldest - self._config.pre_roll)
        known = self._room.known_from
        return (needed if known is None else min(needed, known)) * FRAME_SAMPLES

    def push(self, frame: VadFrame, voice: Sequence[VoiceChunk] = ()) -> list[SegmenterOutput]:
        """Take the next frame; return what it starts, fills or ends.

        ``voice``: the next chunks from ``score_from`` on; all that end by the end of this frame
        if it ``awaits_every_chunk``.
        """
        self._take(voice)
        segment, config = self._segment, self._config
        if segment is None:
            outputs = self._wait(self._mark(frame, config.start_snr_db), frame)
        else:
            outputs = self._continue(segment, self._mark(frame, config.end_snr_db))
        self._look_ahead()
        return outputs

    def pass_over(self, frames: Sequence[VadFrame], voice: Sequence[VoiceChunk]) -> None:
        """Take the next frames, fewer than ``calm_frames``: like ``push``, three times as fast."""
        assert self._segment is not None
        self._take(voice)
        for frame in frames:
            self._segment.add(self._mark(frame, self._config.end_snr_db))
        self._look_ahead()

    def flush(self, voice: Sequence[VoiceChunk] = ()) -> list[SegmenterOutput]:
        """The stream ends or breaks here: end the open segment with what there is.

        ``voice``: the chunks that are still missing.
        """
        self._take(voice)
        outputs = self._end(self._segment) if self._segment is not None else []
        self._recent.clear()
        self._room.restart(self._free_from)
        return outputs

    def restart(self, position: int) -> None:
        """Go on at ``position`` (samples, a multiple of a frame) after ``flush`` and a gap."""
        self._free_from = position // FRAME_SAMPLES
        self._room.restart(self._free_from)

    def _mark(self, frame: VadFrame, min_snr_db: float) -> Mark:
        speech = frame.voiced and frame.snr_db >= min_snr_db
        return Mark(frame.start // FRAME_SAMPLES, speech, frame.level_dbfs, frame.snr_db)

    def _take(self, voice: Sequence[VoiceChunk]) -> None:
        evidence = self._room.evidence if self._segment is None else self._segment.evidence
        for chunk in voice:
            evidence.add(chunk)

    def _look_ahead(self) -> None:
        if self._segment is not None:
            self._segment.calm_until = pace.calm_until(self._segment, self._config)

    def _wait(self, mark: Mark, frame: VadFrame) -> list[SegmenterOutput]:
        self._recent.append(mark)
        self._room.push(mark)
        if not mark.speech:  # the count of speech frames has not grown
            return self._begin_with_voice()
        speech = [m.index for m in self._recent if m.speech]
        if len(speech) < self._config.start:
            return self._begin_with_voice()
        start = max(self._free_from, speech[0] - self._config.pre_roll)
        pre_roll = [Mark(i, False, 0.0, 0.0) for i in range(start, self._recent[0].index)]
        marks = pre_roll + [m for m in self._recent if m.index >= start]
        knows_room = self._room.is_loud(start, frame)
        if knows_room:
            self._room.listen(mark.index)
        evidence = self._room.evidence if knows_room else Evidence(start)
        confirmed = self._config.confirm is None
        return self._open(OpenSegment(marks, evidence, confirmed=confirmed, knows_room=knows_room))

    def _begin_with_voice(self) -> list[SegmenterOutput]:
        """Begin a segment with a voice that is hardly louder than the room."""
        voice = None if self._config.confirm is None else self._room.voice(self._config.confirm)
        if voice is None:
            return []
        marks = self._room.marks_from(max(self._free_from, voice - self._config.pre_roll))
        evidence = self._room.evidence
        return self._open(
            OpenSegment(marks, evidence, confirmed=True, knows_room=True, voice_driven=True)
        )

    def _open(self, segment: OpenSegment) -> list[SegmenterOutput]:
        self._recent.clear()
        self._segment = segment
        self.segments += 1
        return [self._started(segment)] if segment.confirmed else []

    def _continue(self, segment: OpenSegment, mark: Mark) -> list[SegmenterOutput]:
        segment.add(mark)
        if mark.index < segment.calm_until:
            return []
        if mark.index - segment.last_speech >= self._config.end:
            segment.voice_driven = segment.voice_driven or segment.voice_persists
        silent = mark.index - segment.last_speech
        if silent >= self._config.end or self._judge.voice_end(segment) is not None:
            return self._end(segment)
        may_announce = segment.knows_room or segment.evidence.is_enough
        outputs = self._announce(segment, self._judge.voice_start(segment)) if may_announce else []
        end = mark.index + 1
        if end - segment.start >= self._config.maximum:
            return outputs + self._cut(segment)
        if not segment.confirmed or silent > self._config.hangover:
            return outputs  # if no speech follows, the segment ends before a window here would
        return outputs + self._window(segment, end)

    def _window(self, segment: OpenSegment, end: int) -> list[SegmenterOutput]:
        config = self._config
        length = end - segment.start
        if length < config.window_minimum or (length - config.window_minimum) % config.hop:
            return []
        start = max(segment.start, end - config.window)
        return [
            WindowDue(
                self.segments,
                start * FRAME_SAMPLES,
                end * FRAME_SAMPLES,
                segment.start * FRAME_SAMPLES,
                segment.speech_ratio(start, end),
                self._judge.probability(segment, start, end),
            )
        ]

    def _end(self, segment: OpenSegment) -> list[SegmenterOutput]:
        last = segment.last_speech
        end = min(segment.next_frame, last + 1 + self._config.hangover)
        voice_end = self._judge.voice_end(segment)
        outputs: list[SegmenterOutput] = []
        if not segment.confirmed:
            voice = self._voice_at_end(segment, end)
            # The detector may hear a voice below the level, after the last speech.
            outputs = self._announce(segment, None if voice is None else min(voice, last))
        if voice_end is not None:  # what was loud after the voice is not speech
            last = max(segment.start, min(last, voice_end))
            end = min(end, last + 1 + self._config.hangover)
        spoken = 0 if segment.first_speech is None else last + 1 - segment.first_speech
        heard = spoken > 0 if segment.is_continuation else spoken >= max(1, self._config.minimum)
        ended = self._ended(segment, end, continued=False, heard=heard)
        if segment.knows_room:
            self._room.resume(end, segment.marks)
        else:
            self._room.restart(end, segment.marks[end - segment.start :])
        self._segment = None
        self._free_from = end
        return [*outputs, ended]

    def _voice_at_end(self, segment: OpenSegment, end: int) -> int | None:
        """The first frame of the voice in a proposed segment that ends here; None if none."""
        voice = self._judge.voice_start_at_end(segment, end)
        if voice is None:
            voice = self._judge.voice_start_rescored(segment, end)
            segment.knows_room = False  # after rescoring, the detector must restart
        return voice

    def _cut(self, segment: OpenSegment) -> list[SegmenterOutput]:
        """Split the open segment at the quietest point of its second half."""
        first = segment.start + (segment.next_frame - segment.start) // 2
        if not segment.confirmed:  # it was never announced: its first half is dropped
            segment.begin_at(first)
            return []
        cut = segment.quietest_from(first)
        ended = self._ended(segment, cut, continued=True, heard=True)
        segment.confirmed = self._judge.is_voice(segment)  # by frames on both sides of the cut
        segment.begin_at(cut)
        segment.proposed_from = cut
        segment.is_continuation = True
        self._free_from = cut
        return [ended, *self._open(segment)]

    def _announce(self, segment: OpenSegment, voice: int | None) -> list[SegmenterOutput]:
        """Confirm and announce a proposed segment from its voice on, if there is one."""
        if voice is None:
            return []
        segment.confirmed = True
        segment.begin_with_voice(voice, self._config.pre_roll)
        return [self._started(segment)]

    def _started(self, segment: OpenSegment) -> SegmentStarted:
        return SegmentStarted(self.segments, segment.start * FRAME_SAMPLES)

    def _ended(
        self, segment: OpenSegment, end: int, *, continued: bool, heard: bool
    ) -> SegmentEnded:
        no_final: NoFinal | None = None if heard else "too_short"
        return SegmentEnded(
            self.segments,
            (segment.start if segment.confirmed else segment.proposed_from) * FRAME_SAMPLES,
            end * FRAME_SAMPLES,
            segment.speech_ratio(segment.start, end),
            self._judge.probability(segment, segment.start, end),
            continued,
            no_final if segment.confirmed else "not_speech",
        )
