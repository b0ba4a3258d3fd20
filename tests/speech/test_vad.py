"""Framing is exact, and the level gate follows the room."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings

from edgeser.model.golden import waveform
from edgeser.pcm import FRAME_SAMPLES
from edgeser.speech.vad import LOWEST_FLOOR_DBFS, VadFrame, VoiceActivity, level_dbfs
from tests.cuts import blocks_of, cuts

VOICE = waveform(1, 1.0)


def frames_of(blocks: list[np.ndarray]) -> list[VadFrame]:
    vad = VoiceActivity(2)
    return [frame for block in blocks for frame in vad.push(block)]


@given(cuts(len(VOICE)))
@settings(max_examples=30)
def test_any_split_gives_the_same_frames(where: list[int]) -> None:
    assert frames_of(blocks_of(VOICE, where)) == frames_of([VOICE])


def test_frames_are_whole_and_follow_each_other() -> None:
    frames = frames_of([VOICE[:1000]])
    assert [frame.start for frame in frames] == [0, FRAME_SAMPLES, 2 * FRAME_SAMPLES]


def test_a_voice_is_voiced_and_silence_is_not() -> None:
    assert sum(frame.voiced for frame in frames_of([VOICE])) > 40
    silent = frames_of([np.zeros(16_000, np.int16)])
    assert not any(frame.voiced for frame in silent)
    assert all(frame.floor_dbfs == LOWEST_FLOOR_DBFS for frame in silent)


def test_the_floor_learns_a_steady_noise_and_leaves_speech_above_it() -> None:
    rng = np.random.default_rng(0)
    noise = (rng.standard_normal(16_000 * 30) * 300).astype(np.int16)
    frames = frames_of([noise])
    assert max(frame.snr_db for frame in frames[-200:]) < 3
    loud = frames_of([noise, VOICE])[-len(VOICE) // FRAME_SAMPLES :]
    assert max(frame.snr_db for frame in loud) > 20


def test_levels() -> None:
    assert level_dbfs(np.zeros(0, np.int16)) == -100
    assert level_dbfs(np.zeros(320, np.int16)) == -100
    full = np.full(320, -32768, np.int16)
    assert level_dbfs(full) == 0


def test_a_restart_goes_on_at_the_new_position() -> None:
    vad = VoiceActivity(2)
    list(vad.push(VOICE[:500]))
    vad.restart(32_000)
    assert [frame.start for frame in vad.push(VOICE[:640])] == [32_000, 32_320]
