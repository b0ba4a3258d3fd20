"""The blocks and faults that audio sources yield, and the protocol of a source."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from edgeser.errors import UserError
from edgeser.events.schema import FaultCode
from edgeser.pcm import Samples


@dataclass(frozen=True, slots=True, eq=False)
class AudioBlock:
    """A run of consecutive samples.

    ``samples``: int16, shape (n,), n >= 1, mono at 16 kHz.
    ``first_sample``: absolute position of ``samples[0]`` since the start of the stream. A position
    ahead of the end of the block before means that the samples between were lost.
    ``captured_at``: monotonic seconds at which the block's last sample was captured; for a file
    played in real time, when it was due.
    ``overflowed``: the device dropped samples just before this block.
    """

    samples: Samples
    first_sample: int
    captured_at: float
    overflowed: bool = False

    @property
    def end_sample(self) -> int:
        """Position just after the last sample."""
        return self.first_sample + len(self.samples)


@dataclass(frozen=True, slots=True)
class AudioFault:
    """Something that happened to the source: it becomes a ``fault`` event unchanged."""

    code: FaultCode
    message: str
    recovered: bool


class SourceError(UserError):
    """The source cannot be opened as asked."""


class Source(Protocol):
    """A microphone, a file or standard input."""

    name: str
    """The stream's default name in topics: ``mic``, ``file`` or ``stdin``."""

    live: bool
    """Paced by real time: the daemon must keep up. False: the source waits for the daemon."""

    restarts: int
    """How often the device was lost and opened again."""

    frames_at_once: int
    """Requested block length, in frames of 20 ms. Longer blocks wake the machine less often."""

    block_size_is_immediate: bool
    """``frames_at_once`` applies to the very next block; a device has already begun that block."""

    def blocks(self) -> Iterator[AudioBlock | AudioFault]:
        """Yield blocks in order of position until the source ends or is closed.

        Raises SourceError when the source cannot be opened.
        """
        ...

    def close(self) -> None:
        """End ``blocks`` soon, from any thread; may be called twice."""
        ...
