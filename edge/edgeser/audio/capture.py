"""The capture process: ``python -m edgeser.audio.capture`` records and writes messages (wire.py).

PortAudio may hang for ever when a device goes, so this process is meant to be killed: it never asks
PortAudio to stop, and ends when its standard input is closed, that is, with its parent. A byte read
from there says how many blocks of 20 ms to write at once, 1 at first.
Blocking reads only: a systemd unit with MemoryDenyWriteExecute allows no PortAudio callbacks.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import os
import signal
import sys
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any, BinaryIO, NoReturn

from edgeser.audio.devices import PORTAUDIO_MISSING, Device, find_device
from edgeser.audio.wire import Kind, header, packed
from edgeser.errors import UserError
from edgeser.pcm import SAMPLE_RATE

if TYPE_CHECKING:
    from collections.abc import Sequence

_BLOCKS_PER_SECOND = 50


def main(arguments: Sequence[str] | None = None) -> None:
    """Record from ``--device`` until killed, or ``--list`` the input devices as JSON."""
    parser = argparse.ArgumentParser(prog="edgeser.audio.capture")
    parser.add_argument("--device", help="name or part of a name (default: the default device)")
    parser.add_argument("--channel", type=int, help="a channel that the device must have")
    parser.add_argument("--list", action="store_true")
    options = parser.parse_args(arguments)
    out = _private_stdout()
    if options.list:
        out.write(json.dumps(_listing()).encode())
        out.flush()
        os._exit(0)
    # Ctrl-C and a service's stop signal reach the whole group; but record until the parent ends.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    control = _ControlInput()
    threading.Thread(target=control.follow, daemon=True).start()
    try:
        _record(out, control, options.device, options.channel)
    except BrokenPipeError:
        os._exit(0)


def _private_stdout() -> BinaryIO:
    """Keep standard output for messages; what libraries print goes to standard error."""
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    return out


class _ControlInput:
    """Block lengths that the parent writes to standard input; at its end this process ends."""

    blocks_at_once = 1

    def follow(self) -> None:
        while received := os.read(0, 4096):
            self.blocks_at_once = received[-1]
        os._exit(0)


def _listing() -> dict[str, Any]:
    try:
        return {"devices": [device._asdict() for _, device in _devices()]}
    except OSError:
        return {"error": PORTAUDIO_MISSING}


def _devices() -> list[tuple[int, Device]]:
    """PortAudio's index of each input device, and the device. Raises OSError without PortAudio."""
    import sounddevice

    default = sounddevice.default.device[0]
    hostapis = sounddevice.query_hostapis()
    return [
        (
            index,
            Device(
                name=found["name"],
                channels=found["max_input_channels"],
                default_rate=found["default_samplerate"],
                is_default=index == default,
                hostapi=hostapis[found["hostapi"]]["name"],
            ),
        )
        for index, found in enumerate(sounddevice.query_devices())
        if found["max_input_channels"] > 0
    ]


def _record(
    out: BinaryIO, control: _ControlInput, wanted: str | None, channel: int | None
) -> NoReturn:
    try:
        devices = _devices()
    except OSError:
        _fail(out, *PORTAUDIO_MISSING)
    try:
        index, device = devices[find_device([device for _, device in devices], wanted)]
    except UserError as error:
        _fail(out, error.what, error.fix)
    if channel is not None and channel >= device.channels:
        _fail(
            out,
            f"device {device.name!r} has no channel {channel}",
            f"it has 0 to {device.channels - 1}",
        )
    _unload_plugins()
    import sounddevice

    try:
        rate, channels = _format(index, device, channel)
        frames = round(rate / _BLOCKS_PER_SECOND)
        stream = sounddevice.RawInputStream(
            samplerate=rate,
            channels=channels,
            device=index,
            dtype="int16",
            blocksize=frames,
            latency="high",  # room for a late wake-up; it does not delay the blocks
        )
        stream.start()
        latency_s = min(max(float(stream.latency), 0.0), 1.0)
        out.write(
            packed(
                Kind.OPENED,
                {
                    "device": device.name,
                    "rate": rate,
                    "channels": channels,
                    "latency_s": latency_s,
                },
            )
        )
        while True:
            samples, overflowed = stream.read(frames * control.blocks_at_once)
            # PortAudio gives no capture time for blocking reads (its stream clock is just "now", on
            # some hosts wall time): this is monotonic time less what PortAudio still holds.
            captured_at = time.monotonic() - latency_s - stream.read_available / rate
            out.write(header(Kind.AUDIO, len(samples), captured_at, overflowed))
            out.write(samples)
            out.flush()
    except sounddevice.PortAudioError as error:
        _fail(out, f"device {device.name!r}: {error}")


def _unload_plugins() -> None:
    """Make ALSA unload the plugins that it loaded to list all devices.

    With Debian's plugins that is libavcodec, 11 MB. What the wanted device needs is loaded again.
    """
    with suppress(OSError, AttributeError):  # a PortAudio without ALSA
        ctypes.CDLL("libasound.so.2").snd_config_update_free_global()


def _format(index: int, device: Device, channel: int | None) -> tuple[int, int]:
    """Rate and channels to record with: 16 kHz mono where the device does it, else its own."""
    import sounddevice

    channel_counts = [device.channels] if channel is not None else [1, device.channels]
    native = round(device.default_rate)
    choices = [(rate, count) for rate in (SAMPLE_RATE, native) for count in channel_counts]
    for rate, count in choices[:-1]:
        try:
            sounddevice.check_input_settings(index, count, "int16", samplerate=rate)
        except sounddevice.PortAudioError:
            continue
        return rate, count
    return choices[-1]


def _fail(out: BinaryIO, what: str, fix: str | None = None) -> NoReturn:
    out.write(packed(Kind.ERROR, {"message": what, "fix": fix}))
    out.flush()
    os._exit(1)


if __name__ == "__main__":
    main(sys.argv[1:])
