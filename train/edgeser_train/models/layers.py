"""Layers that several models are made of."""

from __future__ import annotations

from torch import Tensor, nn


class ConvLayer(nn.Module):
    """3x3 convolution, batch normalisation, ReLU."""

    def __init__(self, channels_in: int, channels_out: int, *, bias: bool) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels_in, channels_out, 3, padding=1, bias=bias)
        self.norm = nn.BatchNorm2d(channels_out)

    def forward(self, x: Tensor) -> Tensor:
        """(batch, channels in, time, bands) -> (batch, channels out, time, bands)."""
        y: Tensor = self.norm(self.conv(x)).relu_()
        return y
