"""One stream: blocks of sound in, speech events and windows out, scores in, emotion events out.

No threads of its own, no sockets, no clock but the one it is given.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from threading import Lock
from typing import Literal, TypeAlias

import numpy as np

from edgeser.audio.source import SAMPLE_RATE, AudioBlock, Samples
from edgeser.events.schema import (
    EmotionEvent,
    Latency,
    Lost,
    Quality,
    SpeechEvent,
)
from edgeser.features import FrameStream
from edgeser.features.front_end import Floats
from edgeser.features.pieces import Pieces, pieces_of
from edgeser.model.decision import Smoother, decided
from edgeser.model.model import Model
from edgeser.settings.schema import DecisionSettings, SpeechSettings, segmenter_config
from edgeser.speech.segmenter import (
    SegmentEnded,
    Segmenter,
    SegmenterOutput,
    SegmentStarted,
    WindowDue,
)
from edgeser.speech.vad import FRAME_SAMPLES, VoiceActivity, level_dbfs

BRIDGED_GAP_SAMPLES = SAMPLE_RATE // 10
"""Up to 0.1 s of lost samples is filled with zeros; a longer gap ends the segment."""

_CLIPPED = 32_767


@dataclass(frozen=True, slots=True, eq=False)
class Window:
    """A stretch of speech that waits for the model.

    ``start``, ``end``: samples [start, end) of the stream; ``pieces``: its features, as the model
    takes them.
    ``captured_at``: Unix seconds of the capture of the last sample that was needed to cut it: its
    own last, or the end of the silence that closed its segment. ``arrived_at``, ``cut_at`` and
    ``ready_at``: the stream's clock when the block with that sample arrived, when the window had
    been cut, and when its features were there.
    """

    stream: Stream
    segment: int
    kind: Literal["partial", "final"]
    start: int
    end: int
    continued: bool
    pieces: Pieces
    quality: Quality
    captured_at: float
    arrived_at: float
    cut_at: float
    ready_at: float


StreamOutput: TypeAlias = SpeechEvent | Window


@dataclass
class _Losses:
    """Counted by the thread that hears and the one that drops, reported by the one that decides."""

    samples: int = 0
    windows: int = 0
    lock: Lock = field(default_factory=Lock)

    def add(self, samples: int = 0, windows: int = 0) -> None:
        with self.lock:
            self.samples += samples
            self.windows += windows

    def take(self) -> Lost:
        with self.lock:
            lost = Lost(self.samples, self.windows)
            self.samples = self.windows = 0
        return lost


class Stream:
    """Segments, windows and events of one source.

    ``push``, ``break_off`` and ``finish`` belong to one thread, ``decide`` to one other;
    ``dropped`` to any.
    """

    def __init__(
        self,
        name: str,
        model: Model,
        speech: SpeechSettings,
        decision: DecisionSettings,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """``clock``: Unix seconds. Raises SettingsError if the settings do not suit the model."""
        info = model.info
        self.name = name
        self.model = model
        self.position = 0
        self._clock = clock
        self._vad = VoiceActivity(speech.vad_mode)
        self._segmenter = Segmenter(segmenter_config(speech, info.window))
        self._frames = FrameStream(info.front_end)
        self._smoother = Smoother(info.labels, decision.smoothing_weight, decision.smoothing_margin)
        self._abstain_below = (
            info.abstain_below if decision.abstain_below is None else decision.abstain_below
        )
        self._losses = _Losses()
        self._captured_at = 0.0  # of the sample just before `position`
        self._arrived_at = 0.0

    @property
    def position_s(self) -> float:
        """Stream seconds heard so far."""
        return self.position / SAMPLE_RATE

    @property
    def in_speech(self) -> bool:
        """A segment is open."""
        return self._segmenter.in_speech

    def push(self, block: AudioBlock) -> list[StreamOutput]:
        """Take the next block. One that overlaps what was heard already counts once."""
        self._arrived_at = self._clock()
        outputs: list[StreamOutput] = []
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
        self._frames.forget(self._segmenter.needed_from)
        return outputs

    def finish(self) -> list[StreamOutput]:
        """The sound ends here, or has a gap: the open segment's end, with its final window."""
        odd = -self.position % FRAME_SAMPLES
        outputs: list[StreamOutput] = []
        if odd and self.in_speech:
            self._captured_at += odd / SAMPLE_RATE
            outputs += self._hear(np.zeros(odd, np.int16))
        return outputs + self.break_off()

    def break_off(self) -> list[StreamOutput]:
        """End the open segment here, at its last whole frame; what comes may follow on."""
        return [item for output in self._segmenter.flush() for item in self._emit(output)]

    def decide(self, window: Window, scores: Floats, started_at: float) -> EmotionEvent:
        """The event of a window: ``scores`` (labels,), ``started_at`` when its inference began."""
        label = decided(scores, self.model.info.labels, self._abstain_below)
        now = self._clock()

        def milliseconds(begin: float, end: float) -> float:
            return round(max(0.0, end - begin) * 1000, 3)

        return EmotionEvent(
            stream=self.name,
            segment=window.segment,
            kind=window.kind,
            start=window.start / SAMPLE_RATE,
            end=window.end / SAMPLE_RATE,
            label=label,
            confidence=round(min(1.0, float(scores.max())), 6),
            scores={
                label: round(float(score), 6)
                for label, score in zip(self.model.info.labels, scores, strict=True)
            },
            smoothed=self._smoother.update(scores, window.end / SAMPLE_RATE),
            continued=window.continued,
            quality=window.quality,
            latency_ms=Latency(
                capture=milliseconds(window.captured_at, window.arrived_at),
                segment=milliseconds(window.arrived_at, window.cut_at),
                features=milliseconds(window.cut_at, window.ready_at),
                queue=milliseconds(window.ready_at, started_at),
                inference=milliseconds(started_at, now),
                publish=0.0,
                total=milliseconds(window.captured_at, now),
            ),
            model=self.model.ref,
            lost=self._losses.take(),
        )

    def successor(self, model: Model, speech: SpeechSettings, decision: DecisionSettings) -> Stream:
        """A stream that carries on from here with another model or other settings.

        To be asked for between segments. Positions, segment numbers, the noise floor and what was
        lost go on, and so does the smoothed state if the labels are the same. Raises SettingsError
        like the constructor.
        """
        heir = Stream(self.name, model, speech, decision, self._clock)
        odd = self.position % FRAME_SAMPLES
        heir.position = self.position - odd
        heir._vad = VoiceActivity(speech.vad_mode, self._vad.floor_dbfs)
        heir._vad.restart(heir.position)
        config = segmenter_config(speech, model.info.window)
        heir._segmenter = Segmenter(config, segments=self._segmenter.segments)
        heir._segmenter.restart(heir.position)
        heir._losses = self._losses
        if model.info.labels == self.model.info.labels:
            heir._smoother = self._smoother  # windows of ours that still wait move it too
            heir._smoother.tune(decision.smoothing_weight, decision.smoothing_margin)
        heir._captured_at, heir._arrived_at = self._captured_at, self._arrived_at
        heir._hear(self._frames.samples(heir.position, self.position))
        return heir

    def dropped(self, windows: int) -> None:
        """Windows that were dropped before inference: the next event says so."""
        self._losses.add(windows=windows)

    def _jump(self, position: int) -> int:
        """Go on behind a gap at ``position``; give the zeros that lead up to it from the grid."""
        odd = position % FRAME_SAMPLES
        self.position = position - odd
        self._vad.restart(self.position)
        self._segmenter.restart(self.position)
        return odd

    def _hear(self, samples: Samples) -> list[StreamOutput]:
        outputs: list[StreamOutput] = []
        self._frames.push(samples, self.position)
        self.position += len(samples)
        for frame in self._vad.push(samples):
            for output in self._segmenter.push(frame):
                outputs += self._emit(output)
        return outputs

    def _emit(self, output: SegmenterOutput) -> list[StreamOutput]:
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
            has_final=output.heard,
        )
        if not output.heard:
            return [ended]
        return [ended, self._window(output, "final", continued=output.continued)]

    def _window(
        self,
        cut: WindowDue | SegmentEnded,
        kind: Literal["partial", "final"],
        *,
        continued: bool,
    ) -> Window:
        cut_at = self._clock()
        info = self.model.info
        frames = self._frames.frames(cut.start, cut.end)
        pieces = pieces_of(frames, info.front_end, info.window)
        samples = self._frames.samples(cut.start, cut.end)
        level = level_dbfs(samples)
        clipped = np.count_nonzero((samples >= _CLIPPED) | (samples <= -_CLIPPED))
        return Window(
            stream=self,
            segment=cut.segment,
            kind=kind,
            start=cut.start,
            end=cut.end,
            continued=continued,
            pieces=pieces,
            quality=Quality(
                speech_ratio=round(cut.speech_ratio, 4),
                level_dbfs=round(level, 2),
                clipped_ratio=round(float(clipped) / max(1, len(samples)), 6),
                snr_db=round(level - self._vad.floor_dbfs, 2),
            ),
            captured_at=self._captured_at - (self.position - self._vad.position) / SAMPLE_RATE,
            arrived_at=self._arrived_at,
            cut_at=cut_at,
            ready_at=self._clock(),
        )
