"""The list of microphones."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgeser.audio.devices import input_devices
from edgeser.audio.microphone import Microphone
from edgeser.audio.source import AudioBlock
from edgeser.errors import UserError
from tests.audio.conftest import Plan


def test_devices_are_listed(fake: Plan) -> None:
    fake({"rate": 44_100, "channels": 2, "default": 2})
    usb, line = input_devices()
    assert (usb.name, usb.channels, usb.default_rate, usb.hostapi) == (
        "Fake USB",
        2,
        44_100,
        "Fake",
    )
    assert (usb.is_default, line.is_default) == (False, True)


def test_a_list_that_cannot_be_had_is_an_error_in_one_line(fake: Plan) -> None:
    fake({"missing": True})
    with pytest.raises(UserError, match="libportaudio2"):
        input_devices()
    fake({"hangs": True})
    with pytest.raises(UserError, match="did not list its devices within 1 s"):
        input_devices(timeout_s=1.0)


def test_files_of_the_current_folder_are_not_run(
    fake: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("edgeser", "json"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('foreign code')")
    monkeypatch.chdir(tmp_path)
    fake({})
    assert input_devices()
    microphone = Microphone()
    assert isinstance(next(iter(microphone.blocks())), AudioBlock)
    microphone.close()
