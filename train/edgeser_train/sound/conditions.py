"""Listening conditions: what a microphone, a room or a line does to a recording, by name.

They measure how well a model does in conditions that it was not trained for. They are deliberately
not the augmentation of training (``augment``): the room consists of reflections, the noise has one
known spectrum.
"""

from __future__ import annotations

import io
import zlib
from collections.abc import Callable
from functools import cache
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import soundfile

from edgeser.errors import UserError
from edgeser.pcm import SAMPLE_RATE, Samples
from edgeser_train.sound.room import impulse_response

Doubles = npt.NDArray[np.float64]
Condition: TypeAlias = Callable[[Samples, np.random.Generator], Samples]
"""int16 (n,) to int16 (n,), at 16 kHz; all randomness comes from the generator."""

_ACTIVE_MARGIN_DB = 15.9
_FRAME = 320
_TELEPHONE_HZ = (300.0, 3400.0)
_TELEPHONE_TAPS = 801
_OPUS_KBPS = 8


def under(name: str, samples: Samples, index: int) -> Samples:
    """The sound of utterance number ``index`` under a condition; the same in every call.

    Raises UserError for an unknown condition.
    """
    if name not in CONDITIONS:
        raise UserError(f"condition '{name}': unknown", f"there is {', '.join(CONDITIONS)}")
    rng = np.random.default_rng([zlib.crc32(name.encode()), index])
    return CONDITIONS[name](samples, rng)


def missing() -> dict[str, str]:
    """Conditions that this machine's libraries cannot make, and why."""
    if "OPUS" in soundfile.available_subtypes("OGG"):
        return {}
    version = soundfile.__libsndfile_version__
    return {_OPUS: f"libsndfile {version} cannot write Opus"}


def active_level_db(samples: npt.NDArray[np.generic]) -> float:
    """Level of the speech without its pauses, in dB relative to a mean square of 1; -inf for
    silence.

    The mean power of those 20 ms frames that are less than 15.9 dB below that same mean: the margin
    of ITU-T P.56, without its envelope and hang-over.
    """
    x = np.asarray(samples, np.float64)
    whole = x[: len(x) // _FRAME * _FRAME] if len(x) >= _FRAME else x
    frames = whole.reshape(-1, _FRAME) if len(x) >= _FRAME else whole[None]
    power = np.mean(frames**2, axis=1) if frames.size else np.zeros(1)
    level = 0.0
    while (higher := float(power[power >= level * 10 ** (-_ACTIVE_MARGIN_DB / 10)].mean())) > level:
        level = higher
    return float(10 * np.log10(level)) if level > 0 else -np.inf


def _clean(samples: Samples, rng: np.random.Generator) -> Samples:
    return samples


def _gain(gain_db: float) -> Condition:
    def condition(samples: Samples, rng: np.random.Generator) -> Samples:
        """As a microphone with another gain gives it: rounded and clipped."""
        louder = np.round(samples.astype(np.float64) * 10 ** (gain_db / 20))
        return np.clip(louder, -32768, 32767).astype(np.int16)

    return condition


def _noise(snr_db: float) -> Condition:
    def condition(samples: Samples, rng: np.random.Generator) -> Samples:
        """Pink noise (50 Hz to 8 kHz, -3 dB an octave) so far below the active speech level."""
        speech_db = active_level_db(samples)
        if not np.isfinite(speech_db):
            return samples
        level = 10 ** ((speech_db - snr_db) / 20)
        return _int16(samples + level * _pink(len(samples), rng))

    return condition


def _small_room(samples: Samples, rng: np.random.Generator) -> Samples:
    """A room of about 4 x 3 x 2.5 m, 60 dB of decay in 0.4 s, talker 0.5 to 2 m away.

    The active level is kept, as if the microphone's gain made up for the distance.
    """
    before = active_level_db(samples)
    if not np.isfinite(before):
        return samples
    size = np.array([4.0, 3.0, 2.5]) * rng.uniform(0.9, 1.1, 3)
    microphone = np.array([rng.uniform(0.4, 1.0), rng.uniform(0.8, 2.0), rng.uniform(0.7, 1.2)])
    angle, distance = rng.uniform(-0.5, 0.5), rng.uniform(0.5, 2.0)
    source = microphone + distance * np.array([np.cos(angle), np.sin(angle), 0.0])
    source[1] = np.clip(source[1], 0.3, size[1] - 0.3)
    source[2] = rng.uniform(1.2, 1.7)
    wet = _convolved(samples, impulse_response(size, source, microphone, 0.4))[: len(samples)]
    return _int16(wet * 10 ** ((before - active_level_db(wet)) / 20))


def _telephone(samples: Samples, rng: np.random.Generator) -> Samples:
    """300 to 3400 Hz, by a linear-phase filter whose delay is removed; no companding."""
    half = _TELEPHONE_TAPS // 2
    narrow = _convolved(samples, _telephone_filter())[half : half + len(samples)]
    return _int16(narrow)


def _opus(samples: Samples, rng: np.random.Generator) -> Samples:
    """Coded and decoded again, by libsndfile."""
    if not len(samples):
        return samples
    coded = io.BytesIO()
    level = 1 - (_OPUS_KBPS - 6) / 250  # libsndfile spreads 256 down to 6 kbit/s over 0 to 1
    soundfile.write(
        coded, samples, SAMPLE_RATE, format="OGG", subtype="OPUS", compression_level=level
    )
    coded.seek(0)
    decoded: Samples = soundfile.read(coded, dtype="int16")[0]
    return decoded


@cache
def _telephone_filter() -> Doubles:
    """Coefficients (taps,): difference of two windowed low passes, 60 dB down within 70 Hz."""
    t = np.arange(_TELEPHONE_TAPS) - _TELEPHONE_TAPS // 2
    low, high = (2 * hz / SAMPLE_RATE for hz in _TELEPHONE_HZ)
    window: Doubles = np.kaiser(_TELEPHONE_TAPS, 5.65)
    band: Doubles = (high * np.sinc(high * t) - low * np.sinc(low * t)) * window
    return band


def _convolved(x: npt.NDArray[np.generic], response: Doubles) -> Doubles:
    n = len(x) + len(response) - 1
    size = 1 << max(0, n - 1).bit_length()
    return np.fft.irfft(np.fft.rfft(x, size) * np.fft.rfft(response, size), size)[:n]


def _pink(n: int, rng: np.random.Generator) -> Doubles:
    """Noise (n,) of mean power 1 whose power falls by 3 dB an octave, nothing below 50 Hz."""
    size = max(n, SAMPLE_RATE)
    hz = np.fft.rfftfreq(size, 1 / SAMPLE_RATE)
    shape = np.where(hz >= 50, 1 / np.sqrt(np.maximum(hz, 50)), 0.0)
    noise = np.fft.irfft(np.fft.rfft(rng.standard_normal(size)) * shape, size)[:n]
    return noise / max(float(np.sqrt(np.mean(noise**2))), 1e-12)


def _int16(x: Doubles) -> Samples:
    """Rounded; turned down as a whole where it would clip."""
    peak = float(np.abs(x).max(initial=0.0))
    return np.round(x * min(1.0, 32767 / max(peak, 1e-12))).astype(np.int16)


_OPUS = f"Opus {_OPUS_KBPS} kbit/s"

CONDITIONS: dict[str, Condition] = {
    "clean": _clean,
    **{f"gain {db:+d} dB": _gain(db) for db in (-30, -20, -10, 10)},
    **{f"noise {db} dB SNR": _noise(db) for db in (20, 10, 5)},
    "small room": _small_room,
    "telephone band": _telephone,
    _OPUS: _opus,
}
"""All conditions; ``under`` applies them."""

DEFAULT_CONDITIONS = ("clean", "gain -20 dB", "gain -10 dB", "gain +10 dB")
"""What every evaluation scores."""

ROBUSTNESS = tuple(name for name in CONDITIONS if name not in missing())
"""All that this machine can make (see ``missing``)."""
