"""The batched front end gives the frames of the stream."""

from __future__ import annotations

import numpy as np
import pytest

from edgeser.features.frames import raw_frames
from edgeser.model.golden import waveform
from edgeser_train.data.front_ends import FRONT_ENDS, PCNSE, eca

torch = pytest.importorskip("torch")
TorchFrontEnd = pytest.importorskip("edgeser_train.data.torch_front_end").TorchFrontEnd
transforms = pytest.importorskip("edgeser_train.torchaudio").transforms()

SECONDS = 1.507
SOUNDS = np.stack(
    [
        waveform(1, SECONDS),
        waveform(2, SECONDS),
        np.round(waveform(3, SECONDS) * 1e-3).astype(np.int16),
        np.zeros(round(SECONDS * 16_000), np.int16),
    ]
)
DEVICES = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("name", FRONT_ENDS)
def test_frames_equal_those_of_a_stream(name: str, device: str) -> None:
    spec = FRONT_ENDS[name]
    batch = TorchFrontEnd(spec).to(device)(torch.from_numpy(SOUNDS).to(device)).cpu().numpy()
    expected = np.stack([raw_frames(sound, spec) for sound in SOUNDS])
    assert batch.shape == expected.shape
    if not spec.spectral:
        np.testing.assert_array_equal(batch, expected)
        return
    loudest = expected.max(axis=2, keepdims=True)
    clear = expected > loudest - 60
    assert clear.mean() > 0.5
    assert np.abs(batch - expected)[clear].max() < 1e-3
    apart = np.abs(10 ** (batch.astype(float) / 10) - 10 ** (expected.astype(float) / 10))
    assert (apart / 10 ** (loudest / 10))[~clear].max(initial=0) < 2.5e-10


def test_what_lies_behind_a_sound_does_not_matter() -> None:
    for spec in FRONT_ENDS.values():
        front_end = TorchFrontEnd(spec)
        sound = torch.from_numpy(SOUNDS[:1])
        longer = torch.cat((sound, torch.full((1, 5000), 20_000, dtype=torch.int16)), dim=1)
        alone = front_end(sound)
        assert torch.allclose(front_end(longer)[:, : alone.shape[1]], alone, atol=1e-3)


def test_floats_and_autocast_change_nothing() -> None:
    front_end = TorchFrontEnd(eca(3))
    sounds = torch.from_numpy(SOUNDS)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        frames = front_end(sounds.float() / 32768)
    assert frames.dtype == torch.float32
    assert torch.equal(frames, front_end(sounds))


def test_less_than_a_hop_is_refused() -> None:
    with pytest.raises(ValueError, match="shorter than a hop"):
        TorchFrontEnd(PCNSE)(torch.zeros(2, 159))


@pytest.mark.parametrize("version", [1, 4, 8])
def test_a_version_equals_torchaudio(version: int) -> None:
    spec = eca(version)
    window = torch.hamming_window(spec.window)
    reference = transforms.MelSpectrogram(
        16_000,
        n_fft=1024,
        win_length=spec.window,
        hop_length=160,
        n_mels=64,
        center=False,
        window_fn=torch.hamming_window,
        mel_scale="htk",
        norm=None,
    )
    around = (1024 - spec.window) // 2
    sound = torch.from_numpy(SOUNDS[0].astype(np.float32) / 32768)
    padded = torch.nn.functional.pad(sound, (spec.window - 160 + around, around))
    power = reference(padded) / window.square().sum()
    expected = 10 * torch.log10(power.clamp(min=1e-10)).T.numpy()
    frames = raw_frames(SOUNDS[0], spec)
    np.testing.assert_allclose(frames, expected[: len(frames)], rtol=0, atol=1e-3)
