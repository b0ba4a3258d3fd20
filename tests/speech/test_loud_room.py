"""Where a voice is hardly louder than the room, the voice says where a segment begins and ends."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeser.pcm import FRAME_SAMPLES
from edgeser.speech.config import SegmenterConfig
from edgeser.speech.outputs import SegmentEnded, SegmenterOutput, SegmentStarted
from edgeser.speech.segmenter import Segmenter
from edgeser.speech.silero import CHUNK_SAMPLES
from edgeser.speech.vad import VadFrame
from edgeser.speech.voice import VoiceChunk
from tests.speech.test_confirmation import CONFIG, frames, middle

LOUD = replace(CONFIG, loud_dbfs=-60.0)
FLOOR_DBFS = -40.0

Sound = list[tuple[float, float]]
"""Of each frame: how far above the noise floor it is, and how probable a voice is. All are voiced
for WebRTC VAD, as in real noise."""

NOISE: Sound = [(1.3, 0.01)] * 150
VOICE, SOFT, SAW = (6.0, 0.95), (2.0, 0.9), (6.0, 0.4)


class Heard:
    """A segmenter in a room, and a detector that gives it the chunks it asks for."""

    def __init__(
        self, config: SegmenterConfig = LOUD, floor_dbfs: float = FLOOR_DBFS, rescored: float = 0.0
    ) -> None:
        self.segmenter = Segmenter(config, rescore_quiet=self._score_quiet)
        self.sound: Sound = []
        self.asked: list[int | None] = []
        self._floor_dbfs = floor_dbfs
        self._rescored = rescored
        self._judging: int | None = None
        self._next = 0

    def push(self, frame: tuple[float, float]) -> list[SegmenterOutput]:
        index = len(self.sound)
        self.sound.append(frame)
        level = self._floor_dbfs + frame[0]
        chunks = self._chunks((index + 1) * FRAME_SAMPLES)
        return self.segmenter.push(
            VadFrame(index * FRAME_SAMPLES, True, level, self._floor_dbfs), chunks
        )

    def hear(self, sound: Sound) -> list[SegmenterOutput]:
        outputs = [output for frame in sound for output in self.push(frame)]
        return outputs + self.segmenter.flush()

    def _chunks(self, end: int) -> list[VoiceChunk]:
        wanted = self.segmenter.score_from
        self.asked.append(wanted)
        if wanted is None:
            return []
        if wanted != self._judging:
            self._judging = self._next = wanted
        chunks = []
        while self._next + CHUNK_SAMPLES <= end:
            chunks.append(VoiceChunk(self._next, self.sound[middle(self._next)][1]))
            self._next += CHUNK_SAMPLES
        return chunks

    def _score_quiet(self, start: int, end: int) -> list[VoiceChunk]:
        starts = range(start, end - CHUNK_SAMPLES + 1, CHUNK_SAMPLES)
        return [VoiceChunk(at, self._rescored) for at in starts]


def test_a_voice_that_the_level_does_not_show_begins_and_ends_a_segment() -> None:
    heard = Heard()
    started, *_, ended = heard.hear([*NOISE, *[VOICE] * 40, *NOISE])
    assert isinstance(started, SegmentStarted)
    assert isinstance(ended, SegmentEnded)
    assert ended.no_final is None
    assert frames(started.start) == pytest.approx(150 - CONFIG.pre_roll, abs=2)
    assert frames(ended.end) == pytest.approx(190 + CONFIG.hangover, abs=2)
    assert len(set(heard.asked) - {None}) == 1  # a restart would forget the noise


def test_a_voice_that_is_loud_at_once_is_heard_however_early_a_segment_begins() -> None:
    sound = [*NOISE, *[(15.0, 0.95)] * 100, *NOISE]
    assert isinstance(Heard(replace(LOUD, start=1)).hear(sound)[0], SegmentStarted)


def test_without_confirmation_it_does_not() -> None:
    config = replace(LOUD, confirm=None, loud_dbfs=None)
    assert Heard(config).hear([*NOISE, *[VOICE] * 40, *NOISE]) == []


@pytest.mark.parametrize("probability", [0.4, 0.7])
def test_what_is_hardly_a_voice_begins_nothing_and_is_not_told(probability: float) -> None:
    assert Heard().hear([*NOISE, *[(6.0, probability)] * 200, *NOISE]) == []


def test_the_detector_listens_only_where_something_is_louder_than_the_noise() -> None:
    heard = Heard()
    heard.hear(NOISE)
    assert set(heard.asked) == {None}
    heard = Heard()
    heard.hear([*NOISE, *[SAW] * 20, *NOISE])
    listened = [index for index, asked in enumerate(heard.asked) if asked is not None]
    assert 150 < listened[0] < 165
    assert 265 < listened[-1] < 280
    assert {frames(asked) for asked in heard.asked if asked is not None} == {
        listened[0] - 100  # the noise before it, and no more than that
    }


@pytest.mark.parametrize(("loudest_db", "end"), [(12.0, 240), (30.0, 190)])
def test_a_segment_goes_on_with_a_voice_that_sinks_into_loud_noise(
    loudest_db: float, end: int
) -> None:
    sound = [*NOISE, *[(loudest_db, 0.95)] * 40, *[SOFT] * 50, *NOISE]
    outputs = Heard().hear(sound)
    ended = next(output for output in outputs if isinstance(output, SegmentEnded))
    assert frames(ended.end) == pytest.approx(end + CONFIG.hangover, abs=2)


@pytest.mark.parametrize(("probability", "told"), [(0.55, False), (0.7, True)])
def test_who_knows_the_noise_needs_less_to_know_a_voice(probability: float, told: bool) -> None:
    sound = [*NOISE, *[(15.0, probability)] * 100, *NOISE]
    loud, quiet = Heard().hear(sound), Heard(floor_dbfs=-65).hear(sound)
    assert isinstance(loud[0], SegmentStarted) == told
    (rejected,) = quiet
    assert isinstance(rejected, SegmentEnded)
    assert rejected.no_final == "not_speech"


def test_what_it_did_not_know_for_a_voice_is_heard_again() -> None:
    sound = [*NOISE, *[(15.0, 0.2)] * 100, *NOISE]
    outputs = Heard(rescored=0.5).hear(sound)
    assert [type(output) for output in outputs] == [SegmentStarted, SegmentEnded]


sounds = st.lists(
    st.tuples(
        st.sampled_from([0.0, 2.0, 6.0, 12.0, 30.0]),
        st.sampled_from([0.0, 0.2, 0.6, 1.0]),
        st.integers(1, 120),
    ),
    min_size=1,
    max_size=12,
).map(lambda runs: [(snr, p) for snr, p, length in runs for _ in range(length)])


@given(sounds, st.sampled_from([FLOOR_DBFS, -65.0]))
@settings(deadline=None)
def test_segments_are_in_order_share_nothing_and_lie_in_what_is_kept(
    sound: Sound, floor_dbfs: float
) -> None:
    heard = Heard(floor_dbfs=floor_dbfs)
    segmenter = heard.segmenter
    needed = position = number = 0
    told = False
    for frame in [*sound, None]:
        for output in segmenter.flush() if frame is None else heard.push(frame):
            assert output.segment == (number if told else number + 1)
            assert output.start >= position
            if not (isinstance(output, SegmentEnded) and output.no_final == "not_speech"):
                assert output.start >= needed
            told = isinstance(output, SegmentStarted) or (
                told and not isinstance(output, SegmentEnded)
            )
            number = output.segment
            if isinstance(output, SegmentEnded):
                assert output.start <= output.end <= len(heard.sound) * FRAME_SAMPLES
                position = output.end
        if frame is None:
            break
        assert segmenter.needed_from >= needed
        needed = segmenter.needed_from
        if segmenter.score_from is not None and segmenter.score_from != heard.asked[-1]:
            assert segmenter.score_from >= needed  # a sound that is still there
    assert not told
