"""Input devices by name. PortAudio may hang, so it is asked in a process of its own."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Sequence
from typing import NamedTuple

from edgeser.errors import UserError
from edgeser.module_command import module_command

PORTAUDIO_MISSING = (
    "PortAudio is missing, no microphone can be used",
    "apt-get install libportaudio2",
)
"""The error, and the fix."""


class Device(NamedTuple):
    """An input device as PortAudio lists it.

    ``channels``: the most it records at once. ``default_rate``: frames per second.
    ``hostapi``: the sound system it belongs to, e.g. ``ALSA``.
    """

    name: str
    channels: int
    default_rate: float
    is_default: bool
    hostapi: str


def input_devices(timeout_s: float = 10.0) -> list[Device]:
    """List the input devices there are now, in PortAudio's order.

    Raises UserError when PortAudio is missing, fails or does not answer within ``timeout_s``.
    """
    try:
        done = subprocess.run(
            module_command("edgeser.audio.capture", "--list"),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=timeout_s,
        )
    except subprocess.TimeoutExpired:
        raise UserError(
            f"PortAudio did not list its devices within {timeout_s:g} s: is the sound server "
            "stuck? restart it"
        ) from None
    try:
        answer = json.loads(done.stdout)
    except ValueError:
        last = done.stderr.decode(errors="replace").strip().splitlines()[-1:]
        why = last[0] if last else f"exit status {done.returncode}"
        raise UserError(f"PortAudio cannot list its devices: {why}") from None
    if "error" in answer:
        raise UserError(*answer["error"])
    return [Device(**device) for device in answer["devices"]]


def find_device(devices: Sequence[Device], wanted: str | None) -> int:
    """Index in ``devices`` of the one that is called ``wanted``; None: the default device.

    An exact match goes before a partial one; upper and lower case are the same.
    Raises UserError, which lists the devices, when none or several match.
    """
    if not devices:
        fix = "plug in a microphone, or end the program that has it to itself"
        raise UserError("no input device on this machine", fix)
    if wanted is None:
        for index, device in enumerate(devices):
            if device.is_default:
                return index
        raise UserError("no default input device", f"choose one of: {_names(devices)}")
    folded = wanted.casefold()
    for index, device in enumerate(devices):
        if device.name.casefold() == folded:
            return index
    matches = [i for i, device in enumerate(devices) if folded in device.name.casefold()]
    if not matches:
        raise UserError(f"no input device {wanted!r}", f"there are: {_names(devices)}")
    if len({devices[i].name for i in matches}) > 1:
        several = _names([devices[i] for i in matches])
        raise UserError(f"device {wanted!r} could be any of: {several}", "give more of its name")
    return matches[0]


def _names(devices: Sequence[Device]) -> str:
    return ", ".join(dict.fromkeys(device.name for device in devices))
