"""A microphone as a source: a capture process that is watched, killed and started again."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence

import numpy as np

from edgeser.audio.child import CaptureChild, CaptureError
from edgeser.audio.devices import PORTAUDIO_MISSING
from edgeser.audio.overflow import OverflowReport
from edgeser.audio.pace import Pace
from edgeser.audio.resample import Resampler
from edgeser.audio.source import AudioBlock, AudioFault, SourceError
from edgeser.audio.timeline import Timeline
from edgeser.audio.wire import Kind, Message
from edgeser.module_command import module_command
from edgeser.pcm import SAMPLE_RATE

STEADY_S = 5.0
"""After a device has given sound for this long, the next wait is short again."""


class Microphone:
    """Yields what a device records, for ever: if it disappears, its return is awaited.

    ``device``: name or part of a name; None is the default device. ``channel``: the one to take,
    from 0; None takes the mean of those recorded (one, where the device offers mono).
    ``stall_s``: a device that delivers nothing for this long is lost. ``open_s``: the same before
    its first block. ``backoff_s``: wait before a restart, doubled up to ``backoff_max_s`` until
    sound has flowed for ``STEADY_S``. ``overflow_every_s``: overflows within this time are one
    fault. ``wait``: also await a device that is missing at the start.
    ``command``: starts the capture process, which writes the messages of ``wire.py``.

    Positions follow the monotonic clock across losses: after one, ``first_sample`` is ahead by the
    samples that were missed. Blocks of a device that records 16 kHz mono are ``frames_at_once``
    times 20 ms long (the one after a change may still have the old length), those of others differ
    by a few samples. ``captured_at`` is the monotonic clock's time when the block was read, less
    what PortAudio still holds and the latency it reports: it may be some milliseconds early, so a
    latency derived from it is not too small.

    Faults: ``audio_lost`` (once per loss), ``audio_restored`` (before the first block after it),
    ``audio_overflow`` (summed up), ``audio_pace`` (sound comes faster or slower than time passes,
    or no longer does).

    The capture process ends with this process, however that ends. A caller that abandons ``blocks``
    calls ``close``.
    """

    name = "mic"
    live = True

    def __init__(
        self,
        device: str | None = None,
        *,
        channel: int | None = None,
        stall_s: float = 1.5,
        open_s: float = 10.0,
        backoff_s: float = 0.5,
        backoff_max_s: float = 30.0,
        overflow_every_s: float = 10.0,
        wait: bool = False,
        command: Sequence[str] | None = None,
    ) -> None:
        self.restarts = 0
        """How often the capture process was started again."""
        self.opened: dict[str, object] | None = None
        """What is being recorded: ``device``, ``rate``, ``channels``, ``latency_s``."""
        self._title = "default microphone" if device is None else f"microphone {device!r}"
        self._channel = channel
        self._stall_s = stall_s
        self._open_s = open_s
        self._backoff_s = backoff_s
        self._backoff_max_s = backoff_max_s
        self._command = list(command) if command else _capture_command(device, channel)
        self._closed = threading.Event()
        self._child: CaptureChild | None = None
        self._timeline = Timeline()
        self._pace = Pace()
        self._overflows = OverflowReport(overflow_every_s)
        self._wait = wait
        self._dropped = False
        self._frames_at_once = 1
        self.block_size_is_immediate = False

    @property
    def frames_at_once(self) -> int:
        """See ``Source``."""
        return self._frames_at_once

    @frames_at_once.setter
    def frames_at_once(self, frames: int) -> None:
        if frames != self._frames_at_once and (child := self._child) is not None:
            child.set_block_frames(frames)
        self._frames_at_once = frames

    @property
    def child_pid(self) -> int | None:
        """Process id of the capture process, while there is one."""
        child = self._child
        return child.pid if child else None

    def blocks(self) -> Iterator[AudioBlock | AudioFault]:
        """Yield blocks and faults until closed.

        Raises SourceError when the very first capture process says why it cannot record: no
        PortAudio or, unless devices are waited for, no such device (the message lists those there
        are) or a busy one.
        """
        backoff_s = self._backoff_s
        lost = False
        while not self._closed.is_set():
            end_before = self._timeline.end
            flowed = 0  # samples of this run
            try:
                for item in self._one_run():
                    if isinstance(item, AudioBlock):
                        flowed += len(item.samples)
                        if lost:
                            lost = False
                            yield self._restored(item.first_sample - end_before)
                    yield item
            except CaptureError as error:
                fatal = error.is_reported and self.restarts == 0 and self._timeline.end == 0
                if fatal and (not self._wait or str(error) == PORTAUDIO_MISSING[0]):
                    raise SourceError(f"microphone: {error}", error.fix) from None
                if not lost:
                    lost = True
                    yield AudioFault("audio_lost", f"{self._title}: {error}", recovered=False)
            # A device that comes and goes must not be opened twice a second for ever.
            if flowed >= STEADY_S * SAMPLE_RATE:
                backoff_s = self._backoff_s
            if self._closed.wait(backoff_s):
                return
            backoff_s = min(2 * backoff_s, self._backoff_max_s)
            self.restarts += 1

    def close(self) -> None:
        """End ``blocks`` within 0.2 s and the capture process at once."""
        self._closed.set()
        child = self._child
        if child is not None:
            child.kill()

    def _one_run(self) -> Iterator[AudioBlock | AudioFault]:
        """Yield what one capture process records. Raises CaptureError when no more will come."""
        try:
            self._child = child = CaptureChild(self._command)
        except OSError as error:
            raise CaptureError(f"no capture process can be started: {error.strerror}") from None
        self._timeline.interrupt()
        resampler: Resampler | None = None
        captured_at = 0.0
        try:
            for message in child.messages(self._open_s, self._stall_s, self._closed):
                if message.kind is Kind.OPENED:
                    self.opened = message.json()
                    resampler = self._resampler(self.opened)
                    if self._frames_at_once > 1:
                        child.set_block_frames(self._frames_at_once)
                    continue
                if resampler is None:
                    raise CaptureError("the capture process is out of step: sound without a format")
                captured_at = message.captured_at
                yield from self._heard(message, resampler)
        except CaptureError:
            self._child = None  # so that nobody sets its block length any more
            child.reap()  # before the caller gets the error, which may take its time
            if resampler is not None and len(rest := resampler.flush()):
                first, captured_at = self._timeline.place(len(rest), captured_at, False)
                yield AudioBlock(rest, first, captured_at)
            raise
        finally:
            self._child = None
            self.opened = None
            child.reap()

    def _resampler(self, opened: dict[str, object]) -> Resampler:
        rate, channels = opened["rate"], opened["channels"]
        assert isinstance(rate, int)
        assert isinstance(channels, int)
        return Resampler(rate, channels, self._channel)

    def _heard(self, message: Message, resampler: Resampler) -> Iterator[AudioBlock | AudioFault]:
        frames = np.frombuffer(message.payload, np.int16).reshape(-1, resampler.channels)
        samples = resampler.feed(frames)
        self._dropped |= message.overflowed
        if not len(samples):
            return
        end_before = self._timeline.end
        first, captured_at = self._timeline.place(
            len(samples), message.captured_at - resampler.held_s, self._dropped
        )
        first_of_run = resampler.samples_out == len(samples)
        missed = first - end_before if self._dropped or first_of_run else 0
        question = "does its driver state the rate that it has?"
        came = len(samples) + missed
        if fault := self._pace.fault(came, message.captured_at, self._title, question):
            yield fault
        dropped = self._dropped or (first > end_before and not first_of_run)
        self._dropped = False
        if dropped:
            self._overflows.count(0 if first_of_run else first - end_before)
        if fault := self._overflows.due(time.monotonic()):
            yield fault
        yield AudioBlock(samples, first, captured_at, dropped)

    def _restored(self, lost_samples: int) -> AudioFault:
        return AudioFault(
            "audio_restored",
            f"{self._title}: sound is back, {lost_samples / SAMPLE_RATE:.2f} s of it were missed",
            recovered=True,
        )


def _capture_command(device: str | None, channel: int | None) -> list[str]:
    command = module_command("edgeser.audio.capture")
    if device is not None:
        command.append(f"--device={device}")
    if channel is not None:
        command.append(f"--channel={channel}")
    return command
