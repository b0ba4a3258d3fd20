"""Hears one stream: blocks of sound in, speech events and windows out.

No threads of its own, no sockets, no clock but the one it is given.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

import numpy as np

from edgeser.audio.source import AudioBlock
from edgeser.events.schema import Quality, SpeechEvent
from edgeser.features import FrameStream
from edgeser.features.baseline import Baseline, no_baseline
from edgeser.losses import Losses
from edgeser.model.model import Model
from edgeser.model.network import Segment
from edgeser.pcm import FRAME_SAMPLES, FULL_SCALE, SAMPLE_RATE, Samples
from edgeser.settings.schema import SpeechSettings
from edgeser.speech.config import segmenter_config
from edgeser.speech.detector import SpeechDetector
from edgeser.speech.meter import Meter
from edgeser.speech.outputs import SegmentEnded, SegmenterOutput, SegmentStarted, WindowDue
from edgeser.speech.vad import LOWEST_FLOOR_DBFS, level_dbfs
from edgeser.window import Window

BRIDGED_GAP_SAMPLES = SAMPLE_RATE // 10
"""Up to 0.1 s of lost samples is filled with zeros; a longer gap ends the segment."""

HearingOutput: TypeAlias = SpeechEvent | Window


@dataclass(frozen=True, slots=True, eq=False)
class HearingState:
    """The state of a stream between segments, from which a successor continues.

    ``position``: samples heard in whole frames. ``rest``: int16 (n,), n < 320, the samples heard
    after them. ``segments``: how many there were. ``floor_dbfs``: the noise floor. ``baseline``:
    that of the voice.
    """

    position: int = 0
    rest: Samples | None = None
    segments: int = 0
    floor_dbfs: float = LOWEST_FLOOR_DBFS
    baseline: Baseline | None = None


class Hearing:
    """Finds the speech of one stream, and cuts it into windows for a model. For one thread."""

    def __init__(
        self,
        name: str,
        model: Model,
        speech: SpeechSettings,
        losses: Losses,
        *,
        begin: HearingState | None = None,
        learn: bool = True,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """``begin``: where to continue. ``learn``: update the voice's baseline with every final.
        ``clock``: monotonic seconds, those of the blocks.

        Raises UserError if the settings do not suit the model, or a detector cannot be loaded.
        """
        begin = begin or HearingState()
        self.name = name
        self.model = model
        self.position = begin.position
        self._losses = losses
        self._clock = clock
        front_end = model.info.front_end
        self._frames = FrameStream(front_end)
        self.meter, self.fast_meter = Meter(), Meter()  # of statuses, and of level events
        self._detector = SpeechDetector(
            segmenter_config(speech, model.info.window),
            speech.vad_mode,
            self._frames.samples,
            position=begin.position,
            segments=begin.segments,
            floor_dbfs=begin.floor_dbfs,
            meters=(self.meter, self.fast_meter),
        )
        self.baseline = begin.baseline or no_baseline(front_end.bins)
        """The voice's baseline. Any thread may read it at any time, and replace it in silence."""
        self._learn = learn
        self._segment: Segment | None = None  # the open one, once a window was cut
        self._captured_at = self._arrived_at = 0.0  # of the sample just before `position`
        if begin.rest is not None:
            self._hear(begin.rest)

    @property
    def position_s(self) -> float:
        """Stream seconds heard so far."""
        return self.position / SAMPLE_RATE

    @property
    def in_speech(self) -> bool:
        """A segment is open, and was announced."""
        return self._detector.segmenter.in_speech

    @property
    def is_open(self) -> bool:
        """A segment is open, even if only a proposed one."""
        return self._detector.segmenter.is_open

    @property
    def is_quiet(self) -> bool:
        """No recent frame could be speech."""
        return self._detector.segmenter.is_quiet

    @property
    def calm_frames(self) -> int:
        """How many of the next frames can produce no output whatever they hold; 0 if unknown."""
        return self._detector.segmenter.calm_frames

    @property
    def state(self) -> HearingState:
        """The state from which a successor continues; to be read between segments."""
        whole = self.position - self.position % FRAME_SAMPLES
        return HearingState(
            position=whole,
            rest=self._frames.samples(whole, self.position),
            segments=self._detector.segmenter.segments,
            floor_dbfs=self._detector.vad.floor_dbfs,
            baseline=self.baseline,
        )

    def successor(
        self, model: Model, speech: SpeechSettings, baseline: Baseline | None = None
    ) -> Hearing:
        """One that continues from here with another model or other settings; between segments.

        ``baseline``: that of the voice for the model's front end, if it is another than before.
        Raises UserError like the constructor.
        """
        begin = self.state
        if model.info.front_end != self.model.info.front_end:
            begin = replace(begin, baseline=baseline)
        return Hearing(
            self.name,
            model,
            speech,
            self._losses,
            begin=begin,
            learn=self._learn,
            clock=self._clock,
        )

    def push(self, block: AudioBlock) -> list[HearingOutput]:
        """Take the next block. Samples that were heard before are skipped."""
        self._arrived_at = self._clock()
        outputs: list[HearingOutput] = []
        lost = block.first_sample - self.position
        samples = block.samples[max(0, -lost) :]
        if not len(samples):
            return outputs
        if lost > 0:
            self._losses.add(samples=lost)
            if lost > BRIDGED_GAP_SAMPLES:
                outputs += self.finish()
                lost = self._jump(block.first_sample)
            samples = np.concatenate((np.zeros(lost, np.int16), samples))
        self._captured_at = block.captured_at
        outputs += self._hear(samples)
        self._frames.forget(self._detector.needed_from)
        return outputs

    def skip(self, block: AudioBlock) -> list[HearingOutput]:
        """Skip a block, as while muted: an open segment ends, and the position advances."""
        end = block.first_sample + len(block.samples)
        if end <= self.position:
            return []
        outputs = self.end_segment()
        self._hear(np.zeros(self._jump(end), np.int16))
        return outputs

    def finish(self) -> list[HearingOutput]:
        """The sound ends here, or has a gap: the open segment's end, with its final window."""
        odd = -self.position % FRAME_SAMPLES
        outputs: list[HearingOutput] = []
        if odd and self.is_open:
            outputs += self._hear(np.zeros(odd, np.int16))
        return outputs + self.end_segment()

    def end_segment(self) -> list[HearingOutput]:
        """End the open segment at the last whole frame; the stream may go on without a gap."""
        return [item for output in self._detector.flush() for item in self._emit(output)]

    def _jump(self, position: int) -> int:
        """Go on after a gap, at the frame that holds ``position``; how far into it that lies."""
        odd = position % FRAME_SAMPLES
        self.position = position - odd
        self._detector.restart(self.position)
        return odd

    def _hear(self, samples: Samples) -> list[HearingOutput]:
        self._frames.push(samples, self.position)
        self.position += len(samples)
        return [item for output in self._detector.push(samples) for item in self._emit(output)]

    def _emit(self, output: SegmenterOutput) -> list[HearingOutput]:
        if isinstance(output, SegmentStarted):
            start_s = output.start / SAMPLE_RATE
            return [
                SpeechEvent(stream=self.name, state="start", segment=output.segment, start=start_s)
            ]
        if isinstance(output, WindowDue):
            return [self._window(output, "partial", continued=False)]
        ended = SpeechEvent(
            stream=self.name,
            state="end",
            segment=output.segment,
            start=output.start / SAMPLE_RATE,
            end=output.end / SAMPLE_RATE,
            has_final=output.no_final is None,
            reason=output.no_final,
        )
        outputs: list[HearingOutput] = [ended]
        if output.no_final is None:
            outputs.append(self._window(output, "final", continued=output.continued))
        self._segment = None
        return outputs

    def _window(
        self,
        cut: WindowDue | SegmentEnded,
        kind: Literal["partial", "final"],
        *,
        continued: bool,
    ) -> Window:
        cut_at = self._clock()
        info = self.model.info
        front_end, segment = info.front_end, self._open_segment(cut)
        speech = segment.window(self._frames, cut.start, cut.end)
        ready_at = self._clock()
        ahead = self.position - self._detector.vad.position  # samples after the window's last frame
        if kind == "final" and self._learn and info.learns_voices:
            frames = self._frames.frames(cut.start, cut.end)
            self.baseline = front_end.updated(self.baseline, frames)
        return Window(
            stream=self.name,
            model=self.model,
            segment=cut.segment,
            kind=kind,
            start=cut.start,
            end=cut.end,
            continued=continued,
            speech=speech,
            quality=self._quality(cut),
            baseline_s=(
                round(segment.baseline.frames * front_end.hop / front_end.sample_rate, 3)
                if info.learns_voices
                else None
            ),
            captured_at=self._captured_at - ahead / SAMPLE_RATE,
            arrived_at=self._arrived_at,
            cut_at=cut_at,
            ready_at=ready_at,
        )

    def _open_segment(self, cut: WindowDue | SegmentEnded) -> Segment:
        """The segment of the window; it is made with its first window."""
        if self._segment is None:
            start = cut.segment_start if isinstance(cut, WindowDue) else cut.start
            self._segment = self.model.segment(start, self.baseline)
        return self._segment

    def _quality(self, cut: WindowDue | SegmentEnded) -> Quality:
        samples = self._frames.samples(cut.start, cut.end)
        level = level_dbfs(samples)
        clipped = np.count_nonzero((samples >= FULL_SCALE - 1) | (samples <= 1 - FULL_SCALE))
        return Quality(
            speech_ratio=round(cut.speech_ratio, 4),
            level_dbfs=round(level, 2),
            clipped_ratio=round(float(clipped) / max(1, len(samples)), 6),
            snr_db=round(level - self._detector.vad.floor_dbfs, 2),
            speech_probability=(
                None if cut.speech_probability is None else round(cut.speech_probability, 4)
            ),
        )
