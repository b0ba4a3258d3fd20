"""Live sound of a program's own: blocks of samples in, typed events out, without a daemon."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterable, AsyncIterator, Iterable, Iterator
from pathlib import Path
from typing import TypeAlias

import msgspec
import numpy as np
import numpy.typing as npt

from edgeser.audio.resample import Resampler
from edgeser.audio.source import AudioBlock
from edgeser.model.model import Model
from edgeser.pcm import SAMPLE_RATE, Samples
from edgeser.pipeline import Heard, Pipeline, chosen_model
from edgeser.settings.schema import Settings
from edgeser.voice import Voice

AnySamples: TypeAlias = npt.NDArray[np.int16] | npt.NDArray[np.floating]
"""int16, or floats with full scale at 1; shape (n,) or (n, channels)."""

_MAX_CHANNELS = 64
"""No sound has more; an array with its axes exchanged does."""

_MAX_AMPLITUDE = 8.0
"""Floats that clip stay below it; those that were scaled as int16 do not."""

_MAX_RATE = 2**31 - 1
"""No sound has more; with some higher rates the resampler would never return."""

_NUMBERS = (int, float, np.integer, np.floating)


class Live:
    """Hears sound as a program gets it, and gives the events that the daemon would publish.

    Blocks may have any length and, in floats or int16, any rate and number of channels; how the
    sound is cut into blocks changes no event. Events come in order, each with the Unix time at
    which it came out as ``time``; ``epoch`` is empty and ``seq`` 0, since nothing is published.

    Inference happens inside ``push``: some milliseconds now and then. A program with several
    streams makes one for each, and may give all of them one loaded model. It holds nothing that
    must be closed: the sound ends at ``finish``.
    """

    def __init__(
        self,
        model: str | Path | Model | None = None,
        settings: Settings | None = None,
        *,
        rate: int = SAMPLE_RATE,
        stream: str = "live",
        voice: Voice | None = None,
    ) -> None:
        """``model``: a name, a file or a loaded model; default: the one in the settings.

        ``rate``: frames per second of the pushed samples. ``stream``: its name in events.
        ``voice``: what is already known of the voice, from another ``Live`` or a ``Recognizer``
        with the same model. Raises UserError if the model cannot be loaded or does not suit the
        settings, ValueError for a rate that is no whole number from 1 to 2147483647, and for a
        voice that another model has learnt.
        """
        settings = settings or Settings()
        if not isinstance(rate, _NUMBERS) or not 1 <= rate <= _MAX_RATE or rate % 1:
            raise ValueError(f"expected a rate of 1 to {_MAX_RATE}, a whole number, not {rate!r}")
        self.model = chosen_model(model, settings)
        self._rate = int(rate)
        self._pipeline = Pipeline(stream, self.model, settings, voice)
        self._resampler: Resampler | None = None  # made when the number of channels is known
        self._finished = False
        self._lock = threading.Lock()  # a cancelled task leaves its push running in a thread

    @property
    def voice(self) -> Voice:
        """What is known of the voice so far; it grows with every final."""
        with self._lock:
            return self._pipeline.voice

    def push(self, samples: AnySamples) -> list[Heard]:
        """The events of the next block.

        Raises TypeError for anything but an array without a mask, ValueError for other types and
        shapes than ``AnySamples``, more than 64 channels, another number of them than before, and
        floats far beyond full scale; and after ``finish``. UserError if the model gives logits
        that are no numbers.
        """
        with self._lock:
            if self._finished:
                raise ValueError("this stream has ended; make a new Live for the next")
            return self._heard(self._converted(samples))

    def finish(self) -> list[Heard]:
        """The sound ends here: the events of its end, with the final of an open segment."""
        with self._lock:
            if self._finished:
                return []
            self._finished = True
            rest = [] if self._resampler is None else self._heard(self._resampler.flush())
            return rest + _timed(self._pipeline.finish())

    def events(self, blocks: Iterable[AnySamples]) -> Iterator[Heard]:
        """The events of all blocks, to the end of the sound.

        Raises what ``push`` does, and ValueError for an array of samples instead of blocks.
        """
        if isinstance(blocks, np.ndarray) and blocks.ndim < 3:  # are its rows blocks, or frames?
            raise ValueError(
                f"expected blocks, got one array of shape {blocks.shape}; give [samples], or "
                "list(samples) if each row is a block"
            )
        for samples in blocks:
            yield from self.push(samples)
        yield from self.finish()

    async def aevents(self, blocks: AsyncIterable[AnySamples]) -> AsyncIterator[Heard]:
        """The same for asyncio: inference runs in a thread, so that the event loop goes on.

        If the task is cancelled, a block that is in the thread is heard, but its events are lost;
        ``push`` and ``finish`` then go on after it.
        """
        async for samples in blocks:
            for event in await asyncio.to_thread(self.push, samples):
                yield event
        for event in await asyncio.to_thread(self.finish):
            yield event

    def _converted(self, samples: AnySamples) -> Samples:
        frames = frames_of(samples)
        if self._resampler is None:
            self._resampler = Resampler(self._rate, frames.shape[1])
        return self._resampler.feed(frames)

    def _heard(self, samples: Samples) -> list[Heard]:
        if not len(samples):
            return []
        first = self._pipeline.position
        return _timed(self._pipeline.push(AudioBlock(samples, first, time.monotonic())))


def frames_of(samples: AnySamples) -> AnySamples:
    """Samples as (n, channels). Raises TypeError and ValueError as ``Live.push`` does."""
    if not isinstance(samples, np.ndarray):
        raise TypeError(f"expected a NumPy array, got {type(samples).__name__}")
    if isinstance(samples, np.ma.MaskedArray):
        raise TypeError("expected an array without a mask; give samples.filled(0)")
    samples = samples.astype(samples.dtype.newbyteorder("="), copy=False)  # AIFF, RTP: big-endian
    if samples.dtype != np.int16 and not np.issubdtype(samples.dtype, np.floating):
        raise ValueError(f"expected int16 or floats, got {samples.dtype}")
    if samples.ndim not in (1, 2) or (samples.shape[-1] == 0 and samples.ndim == 2):
        raise ValueError(f"expected (n,) or (n, channels), got {samples.shape}")
    frames = samples[:, None] if samples.ndim == 1 else samples
    if frames.shape[1] > _MAX_CHANNELS:
        raise ValueError(f"{samples.shape} looks like (channels, n); give samples.T")
    if samples.dtype != np.int16:
        _check_scale(samples)
    return frames


def _check_scale(samples: AnySamples) -> None:
    """Raises ValueError for floats far beyond full scale; what is not finite counts as silence."""
    peak = float(np.max(np.abs(samples), initial=0, where=np.isfinite(samples)))
    if peak > _MAX_AMPLITUDE:
        raise ValueError(f"floats have full scale at 1, got {peak:.6g}; divide by 32768")


def _timed(events: list[Heard]) -> list[Heard]:
    return [msgspec.structs.replace(event, time=time.time()) for event in events]
