"""Raw frames of whole batches of sound, on any device."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from edgeser.features import FrontEnd
from edgeser_train.torchaudio import transforms


class TorchFrontEnd(nn.Module):
    """The raw frames of a ``FrontEnd``: what ``edgeser.features.frames.raw_frames`` gives, batched.

    Powers are float32 on either path and differ by the rounding of two FFTs, which is relative to
    the frame's whole energy. So values within 60 dB of their frame's loudest agree to 1e-3 dB;
    lower ones, and ones near the floor, to the same share of that energy (1e-10 of it).
    """

    def __init__(self, front_end: FrontEnd) -> None:
        super().__init__()
        self.front_end = front_end
        if not front_end.spectral:
            return
        window = torch.from_numpy(front_end.analysis_window)
        self.spectrogram = transforms().Spectrogram(
            n_fft=front_end.n_fft,
            win_length=front_end.window,
            hop_length=front_end.hop,
            window_fn=lambda length: window,
            power=2.0,
            center=False,
        )
        if front_end.kind == "mel":
            self.register_buffer("filters", torch.from_numpy(front_end.mel_filters))

    def forward(self, samples: Tensor) -> Tensor:
        """Sounds int16, or float in [-1, 1], (batch, n) -> float32 (batch, n // hop, bins).

        Frames of a sound's own samples do not depend on what it is padded with behind them.
        Raises ValueError for less than a hop.
        """
        spec = self.front_end
        count = samples.shape[-1] // spec.hop
        if not count:
            raise ValueError(f"sounds of {samples.shape[-1]} samples are shorter than a hop")
        if not samples.is_floating_point():
            samples = samples.to(torch.float32) / 32768
        with torch.autocast(samples.device.type, enabled=False):
            samples = samples.to(torch.float32)
            if not spec.spectral:
                return samples[:, : count * spec.hop].reshape(len(samples), count, spec.hop)
            if spec.pre_emphasis:
                samples = samples - spec.pre_emphasis * F.pad(samples, (1, 0))[:, :-1]
            return self._decibels(samples, count)

    def _decibels(self, samples: Tensor, count: int) -> Tensor:
        spec = self.front_end
        # The STFT centres the window in the FFT: what lies in front of it is multiplied by zero.
        before = spec.lookback + (spec.n_fft - spec.window) // 2
        behind = (count - 1) * spec.hop + spec.n_fft - before - samples.shape[-1]
        power: Tensor = self.spectrogram(F.pad(samples, (before, max(0, behind))))
        power = power[..., :count].transpose(1, 2)
        if spec.kind == "mel":
            power = power @ self.get_buffer("filters")
        else:
            power = power[..., spec.linear_bins]
        return 10 * torch.log10(power.clamp(min=spec.floor))
