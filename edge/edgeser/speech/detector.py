"""The speech of one stream: samples in, segments and windows of speech out.

WebRTC VAD hears every frame, and the segmenter proposes segments from it. The voice detector, which
costs more, hears only what is proposed, and confirms it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import islice

from edgeser.pcm import FRAME_SAMPLES, Samples
from edgeser.speech.config import SegmenterConfig
from edgeser.speech.harmonicity import hnr_db
from edgeser.speech.meter import Meter, power_of
from edgeser.speech.outputs import SegmenterOutput
from edgeser.speech.segmenter import Segmenter
from edgeser.speech.silero import CHUNK_SAMPLES
from edgeser.speech.vad import LOWEST_FLOOR_DBFS, VoiceActivity
from edgeser.speech.voice import MAX_SAMPLES, VoiceChunk, VoiceDetector, voice_network


class SpeechDetector:
    """Runs VAD, segmenter and voice detector. For one thread."""

    def __init__(
        self,
        config: SegmenterConfig,
        vad_mode: int,
        samples: Callable[[int, int], Samples],
        *,
        position: int = 0,
        segments: int = 0,
        floor_dbfs: float = LOWEST_FLOOR_DBFS,
        meters: Sequence[Meter] = (),
    ) -> None:
        """``vad_mode``: WebRTC's aggressiveness, 0 to 3. ``samples``: returns the stream's int16
        samples between two positions, from ``needed_from`` on. ``position``: of the first sample,
        a multiple of a frame. ``segments``: how many came before. ``floor_dbfs``: the noise floor
        as far as it is known. ``meters``: take the level of every frame.

        Raises UserError when a detector cannot be loaded.
        """
        self.vad = VoiceActivity(vad_mode, position, floor_dbfs)
        self.segmenter = Segmenter(
            config, position, segments, rescore_quiet=self._rescore_quiet, hnr_db=self._hnr_db
        )
        self._voice = None if config.confirm is None else VoiceDetector(voice_network())
        self._voice_from: int | None = None  # where the voice detector was restarted
        self._samples = samples
        self._meters = meters

    @property
    def needed_from(self) -> int:
        """First sample that may still be in a window, or be scored by the voice detector."""
        needed, wanted = self.segmenter.needed_from, self.segmenter.score_from
        if self._voice is None or wanted is None:
            return needed
        return min(needed, self._voice.position if wanted == self._voice_from else wanted)

    def push(self, samples: Samples) -> Iterator[SegmenterOutput]:
        """Take the next samples; yield each output at the frame that causes it.

        The caller must exhaust the iterator: only then are all samples taken.
        """
        frames = self.vad.push(samples)
        heard = list(islice(frames, max(0, self.segmenter.calm_frames - 1)))
        if heard:
            self.segmenter.pass_over(heard, self._voice_chunks(self.vad.position))
        for frame in frames:
            heard.append(frame)
            yield from self.segmenter.push(frame, self._voice_chunks(frame.start + FRAME_SAMPLES))
        if heard:
            power = power_of(heard)
            for meter in self._meters:
                meter.add(power, len(heard), heard[-1].floor_dbfs)

    def flush(self) -> list[SegmenterOutput]:
        """End the open segment at the last whole frame."""
        return self.segmenter.flush(self._voice_chunks(self.vad.position, at_last=True))

    def restart(self, position: int) -> None:
        """Go on at ``position`` (samples, a multiple of a frame) after ``flush`` and a gap."""
        self.vad.restart(position)
        self.segmenter.restart(position)

    def _voice_chunks(self, end: int, *, at_last: bool = False) -> Sequence[VoiceChunk]:
        """Run the voice detector up to the sample ``end``, as far as the segmenter wants it.

        Chunks wait until they fill a run, are awaited by the segmenter, or the sound ends
        (``at_last``).
        """
        wanted = self.segmenter.score_from
        if self._voice is None or wanted is None:
            return ()
        if wanted != self._voice_from:
            self._voice_from = wanted
            self._voice.restart(wanted)
        waiting = end - self._voice.position
        if waiting < CHUNK_SAMPLES:
            return ()
        if not at_last and not self.segmenter.awaits_every_chunk:
            if waiting < MAX_SAMPLES:
                return ()
            end -= waiting % MAX_SAMPLES
        return self._voice.hear(self._samples(self._voice.position, end))

    def _rescore_quiet(self, start: int, end: int) -> list[VoiceChunk]:
        """The chunks of the samples [start, end), scored again at reduced gain."""
        return (
            []
            if self._voice is None
            else self._voice.rescore_quiet(self._samples(start, end), start)
        )

    def _hnr_db(self, start: int, end: int) -> float:
        """How harmonic the samples [start, end) are."""
        return hnr_db(self._samples(start, end))
