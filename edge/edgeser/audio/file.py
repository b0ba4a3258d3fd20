"""A sound file as a source: in real time, or as fast as it can be read."""

from __future__ import annotations

import errno
import math
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from edgeser.audio.resample import Resampler
from edgeser.audio.source import AudioBlock, AudioFault, SourceError
from edgeser.audio.truncation import breaks_off, is_cut_off
from edgeser.pcm import FRAME_SAMPLES, SAMPLE_RATE, Samples
from edgeser.regular_file import NOT_REGULAR, regular

if TYPE_CHECKING:
    import soundfile

_BITE_S = 0.02
"""Read in small bites: the bite in which a damaged file breaks off is lost."""

_BITE_SAMPLES = 1 << 22
"""Most samples of all channels together in a bite: a header may claim any rate."""

_PLAIN_BITE_S = 4.0
"""Bite for uncompressed samples, of which damage loses nothing."""


class FileSource:
    """Plays a file of any format, rate and channel count that libsndfile reads (channels: mean).

    ``fast``: as fast as the daemon takes it, ``captured_at`` is the time of handing over;
    otherwise in real time, ``captured_at`` is when the block was due.

    Blocks are regular (``frames_at_once`` times 320 samples), the last may be shorter. The file is
    opened and checked here, which raises SourceError, and read bit by bit in ``blocks``.

    Faults: ``non_finite_samples`` (once: NaN and infinity are played as silence, nothing else
    is lost) and ``file_truncated`` (the last thing yielded, after all that could be read).
    """

    name = "file"
    restarts = 0
    frames_at_once = 1
    block_size_is_immediate = True

    def __init__(self, path: str | Path, fast: bool = False) -> None:
        self.path = Path(path)
        self.live = not fast
        self._closed = threading.Event()
        with _opened(self.path) as (sound, _):
            self.duration_s: float = sound.frames / sound.samplerate

    def blocks(self) -> Iterator[AudioBlock | AudioFault]:
        """Yield the file from its beginning: its blocks, and its faults where they show."""
        for due, item in self.timed(time.monotonic()):
            if self.live and (left := due - time.monotonic()) > 0 and self._closed.wait(left):
                return
            yield item

    def timed(self, started: float) -> Iterator[tuple[float, AudioBlock | AudioFault]]:
        """The items of ``blocks``, each with the time when it is due; nothing waits here.

        Both times are the monotonic clock's; ``started`` is when the file begins.
        """
        with _opened(self.path) as (sound, fd):
            cut_off = is_cut_off(sound, fd)
            resampler = Resampler(sound.samplerate, sound.channels)
            due, position = started, 0
            warned = False
            for samples in self._cut(_converted(sound, resampler)):
                if self._closed.is_set():
                    return
                end = position + len(samples)
                due = started + end / SAMPLE_RATE
                if resampler.first_non_finite is not None and not warned:
                    warned = True
                    yield due, self._non_finite(resampler.first_non_finite / sound.samplerate)
                yield due, AudioBlock(samples, position, due if self.live else time.monotonic())
                position = end
            if cut_off or breaks_off(sound, resampler.frames_in):
                yield due, self._truncated(position / SAMPLE_RATE)

    def close(self) -> None:
        """End ``blocks`` before the next block."""
        self._closed.set()

    def _cut(self, runs: Iterator[Samples]) -> Iterator[Samples]:
        """Blocks of ``frames_at_once`` frames, which may change from block to block."""
        held = np.zeros(0, np.int16)
        for run in runs:
            held, first = np.concatenate((held, run)), 0
            while first + (wanted := self.frames_at_once * FRAME_SAMPLES) <= len(held):
                yield held[first : first + wanted]
                first += wanted
            held = held[first:]
        if len(held):
            yield held

    def _non_finite(self, at_s: float) -> AudioFault:
        return AudioFault(
            "non_finite_samples",
            f"{self.path}: samples that are not finite numbers, the first at {at_s:.3f} s, "
            "are played as silence",
            recovered=True,
        )

    def _truncated(self, played_s: float) -> AudioFault:
        return AudioFault(
            "file_truncated",
            f"{self.path}: the file is cut off; the {played_s:.2f} s that it holds were played",
            recovered=False,
        )


def _converted(sound: soundfile.SoundFile, resampler: Resampler) -> Iterator[Samples]:
    """Read to the end and yield runs of 16 kHz mono samples, of any length."""
    for frames in _frames(sound):
        yield resampler.feed(frames)
    yield resampler.flush()


def _frames(sound: soundfile.SoundFile) -> Iterator[npt.NDArray[Any]]:
    import soundfile  # a daemon that plays no file does not load it

    # Integers of up to 16 bits survive float32 exactly; wider ones are rounded once, at the end.
    dtype, bite_s = "float32", _BITE_S
    if sound.subtype == "PCM_16" and sound.format != "FLAC":
        dtype, bite_s = "int16", _PLAIN_BITE_S
    bite = min(math.ceil(bite_s * sound.samplerate), max(1, _BITE_SAMPLES // sound.channels))
    while True:
        try:
            frames = sound.read(bite, dtype=dtype, always_2d=True)
        except soundfile.LibsndfileError:
            return  # compressed data broke off: the caller counts the frames and sees it
        if len(frames) == 0:
            return
        yield np.asarray(frames)


def _forward(fd: int) -> soundfile.SoundFile:
    """A sound file that is only read forwards.

    soundfile seeks after every read of a seekable file. By that a decoder of MP3 loses the bits
    that a frame has left for the next, and plays noise; other decoders decode some of it twice.
    """
    import soundfile

    class Forward(soundfile.SoundFile):  # type: ignore[misc]
        def seekable(self) -> bool:
            return False

    return Forward(fd, closefd=False)


@contextmanager
def _opened(path: Path) -> Iterator[tuple[soundfile.SoundFile, int]]:
    """Open a sound file and check that it holds sound. Raises SourceError."""
    import soundfile

    try:
        fd = os.open(regular(path), os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        why, fix = {
            errno.ENOENT: ("there is no such file", "give a sound file that is there"),
            errno.EACCES: ("it may not be read", "change its permissions"),
            errno.EISDIR: ("this is a folder", "give one sound file in it"),
            NOT_REGULAR: (
                "this is no regular file",
                "give a sound file; 'edgeser run --source -' takes raw sound from a pipe",
            ),
        }.get(error.errno or 0, (error.strerror or str(error), None))
        raise SourceError(f"{path}: {why}", fix) from None
    except ValueError:
        raise SourceError(f"{str(path)!r}: not a valid file name") from None
    try:
        if os.fstat(fd).st_size == 0:
            raise SourceError(f"{path}: the file is empty", "give a file with sound in it")
        try:
            sound = _forward(fd)
        except soundfile.LibsndfileError as error:
            raise SourceError(
                f"{path}: not a sound file that can be read ({error.error_string.rstrip('.')})",
                "convert it to WAV or FLAC",
            ) from None
        with sound:
            if sound.frames <= 0:
                raise SourceError(f"{path}: no samples in it", "give a file with sound in it")
            yield sound, fd
    finally:
        os.close(fd)
