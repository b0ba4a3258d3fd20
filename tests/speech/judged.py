"""A segmenter and a voice detector without the networks: a test gives their outputs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from edgeser.pcm import FRAME_SAMPLES
from edgeser.speech.config import SegmenterConfig
from edgeser.speech.harmonicity import NOT_HARMONIC_DB
from edgeser.speech.outputs import SegmenterOutput
from edgeser.speech.segmenter import Segmenter
from edgeser.speech.silero import CHUNK_SAMPLES
from edgeser.speech.vad import VadFrame
from edgeser.speech.voice import VoiceChunk

CONFIG = SegmenterConfig(
    start_snr_db=9,
    end_snr_db=5,
    start=5,
    start_within=10,
    pre_roll=10,
    end=25,
    hangover=5,
    minimum=12,
    maximum=350,
    window=150,
    window_minimum=50,
    hop=25,
    confirm=0.75,
)

FLOOR_DBFS = -40.0


class Frame(NamedTuple):
    """The detectors' outputs for a frame.

    ``voiced``: WebRTC VAD takes it for speech. ``probability``: of a voice. ``snr_db``: its level
    above the noise floor.
    """

    voiced: bool
    probability: float
    snr_db: float = 20.0


class Judged:
    """A segmenter, and a detector that gives it the chunks of a sound that it asks for.

    ``rescored``: probability of a voice in each frame at reduced gain. ``at_once``: so many chunks
    are given together, unless the segmenter awaits every one. ``hnr_db``: harmonicity of every
    sound. ``floor_dbfs``: the noise floor. ``asked``: from where it wanted chunks, at every frame.
    """

    def __init__(
        self,
        config: SegmenterConfig = CONFIG,
        rescored: Sequence[float] = (),
        at_once: int = 1,
        hnr_db: float = NOT_HARMONIC_DB,
        floor_dbfs: float = FLOOR_DBFS,
    ) -> None:
        self._at_once = at_once
        self.segmenter = Segmenter(config, rescore_quiet=self._score_quiet, hnr_db=self._measured)
        self.sound: list[Frame] = []
        self.asked: list[int | None] = []
        self.heard_quiet: list[tuple[int, int]] = []
        self.measured: list[tuple[int, int]] = []
        self._hnr_db = hnr_db
        self._floor_dbfs = floor_dbfs
        self._rescored = rescored
        self._judging: int | None = None
        self._next = 0

    def push(self, frame: Frame) -> list[SegmenterOutput]:
        start, floor_dbfs = len(self.sound) * FRAME_SAMPLES, self._floor_dbfs
        self.sound.append(frame)
        vad_frame = VadFrame(start, frame.voiced, floor_dbfs + frame.snr_db, floor_dbfs)
        return self.segmenter.push(vad_frame, self.chunks(start + FRAME_SAMPLES))

    def hear(self, sound: Sequence[Frame]) -> list[SegmenterOutput]:
        return [output for frame in sound for output in self.push(frame)]

    def hear_to_the_end(self, sound: Sequence[Frame]) -> list[SegmenterOutput]:
        return self.hear(sound) + self.segmenter.flush()

    def chunks(self, end: int, *, at_last: bool = False) -> list[VoiceChunk]:
        """The chunks that are due by the sample ``end``; ``at_last``: however few they are."""
        wanted = self.segmenter.score_from
        self.asked.append(wanted)
        if wanted is None:
            return []
        if wanted != self._judging:
            self._judging = self._next = wanted
        chunks: list[VoiceChunk] = []
        waiting = (end - self._next) // CHUNK_SAMPLES
        if not at_last and waiting < self._at_once and not self.segmenter.awaits_every_chunk:
            return chunks
        while self._next + CHUNK_SAMPLES <= end:
            chunks.append(VoiceChunk(self._next, self.sound[_middle(self._next)].probability))
            self._next += CHUNK_SAMPLES
        return chunks

    def _measured(self, start: int, end: int) -> float:
        self.measured.append((start, end))
        return self._hnr_db

    def _score_quiet(self, start: int, end: int) -> list[VoiceChunk]:
        self.heard_quiet.append((start, end))
        starts = range(start, end - CHUNK_SAMPLES + 1, CHUNK_SAMPLES) if self._rescored else ()
        return [VoiceChunk(at, self._rescored[_middle(at)]) for at in starts]


def frames(samples: int) -> int:
    """How many frames so many samples are."""
    return samples // FRAME_SAMPLES


def _middle(chunk: int) -> int:
    """The frame in the middle of a chunk."""
    return (chunk + CHUNK_SAMPLES // 2) // FRAME_SAMPLES
