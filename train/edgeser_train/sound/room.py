"""A rectangular room's impulse response by image sources."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from edgeser.pcm import SAMPLE_RATE

Doubles = npt.NDArray[np.float64]

_SOUND_M_PER_S = 343.0
_HIGH_PASS_HZ = 50.0


def impulse_response(size: Doubles, source: Doubles, microphone: Doubles, rt60_s: float) -> Doubles:
    """Pressure at the microphone after an impulse at the source, (n,) of ``rt60_s`` seconds.

    Allen and Berkley 1979: every reflection is a straight line from a mirrored source. ``size``,
    ``source`` and ``microphone`` (3,) in metres. All walls absorb the same share of the energy,
    from Eyring's formula for the time ``rt60_s`` in which the sound decays by 60 dB. A microphone's
    high-pass at 50 Hz keeps the sum of so many pulses of one sign from drifting. The direct sound
    has amplitude 1 and arrives at time 0: its own delay and attenuation are left out.
    """
    volume = float(np.prod(size))
    surface = 2 * (size[0] * size[1] + size[0] * size[2] + size[1] * size[2])
    reflection = np.exp(-0.161 * volume / (surface * rt60_s) / 2)
    reach = _SOUND_M_PER_S * rt60_s
    squares, bounces = zip(
        *(_images(*axis, reach) for axis in zip(size, source, microphone, strict=True)), strict=True
    )
    x, y, z = np.ix_(*squares)
    distance = np.sqrt(x + y + z).ravel()
    x, y, z = np.ix_(*bounces)
    strength = reflection ** (x + y + z).ravel() / distance
    direct = float(np.linalg.norm(source - microphone))
    n = int(rt60_s * SAMPLE_RATE)
    delay = np.rint((distance - direct) / _SOUND_M_PER_S * SAMPLE_RATE).astype(np.int64)
    near = delay < n
    pulses = np.bincount(delay[near], strength[near] * direct, minlength=n)
    spectrum = np.fft.rfft(pulses, 2 * n)
    slope = 1j * np.fft.rfftfreq(2 * n, 1 / SAMPLE_RATE) / _HIGH_PASS_HZ
    return np.fft.irfft(spectrum * slope / (1 + slope), 2 * n)[:n]


def _images(size: float, source: float, microphone: float, reach: float) -> tuple[Doubles, Doubles]:
    """Along one axis: squared distances to the mirrored sources, and the reflections of each."""
    rooms = np.arange(-int(reach / (2 * size)) - 1, int(reach / (2 * size)) + 2)
    same, mirrored = source + 2 * rooms * size, -source + 2 * rooms * size
    places = np.concatenate((same, mirrored)) - microphone
    walls = np.concatenate((np.abs(2 * rooms), np.abs(2 * rooms - 1)))
    return places**2, walls.astype(np.float64)
