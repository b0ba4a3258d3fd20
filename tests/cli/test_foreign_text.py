"""Text that others wrote is shown as it is, whatever it looks like to what draws tables."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
import soundfile
from click.testing import CliRunner

from edgeser.audio.devices import Device
from edgeser.cli import main
from tests.sounds import SPEECH_FILE, SPEECH_SEGMENTS, silence
from tests.system.daemons import edgeser


def test_predict_shows_names_of_files_as_they_are(tmp_path: Path) -> None:
    silent, talk = tmp_path / "e" / "[" / "x].wav", tmp_path / "Talk [dQw4w9] :smile:.flac"
    silent.parent.mkdir(parents=True)
    soundfile.write(silent, silence(0.5), 16_000)
    talk.symlink_to(SPEECH_FILE.absolute())
    done = edgeser("predict", "e/[/x].wav", talk.name, cwd=tmp_path)
    assert done.code == 0, done.err
    assert done.out.splitlines()[:2] == ["e/[/x].wav", "  no speech found"]
    assert done.out.splitlines()[2].strip() == talk.name


def test_predict_takes_names_that_are_no_utf_8(tmp_path: Path) -> None:
    name = os.fsdecode(b"n\xff.flac")
    (tmp_path / name).symlink_to(SPEECH_FILE.absolute())
    assert edgeser("predict", name, cwd=tmp_path).out.splitlines()[0].strip() == r"n\xff.flac"
    done = edgeser("predict", "--json", name, str(SPEECH_FILE), cwd=tmp_path)
    assert done.code == 0, done.err
    told = [json.loads(line)["file"] for line in done.out.splitlines()]
    assert told == [r"n\xff.flac"] * SPEECH_SEGMENTS + [str(SPEECH_FILE)] * SPEECH_SEGMENTS


def test_devices_shows_their_names_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    """No device with such a name can be plugged in here."""
    device = Device("USB [1] [/dev] :mute:", 1, 48_000.0, True, "ALSA")
    monkeypatch.setattr("edgeser.audio.devices.input_devices", lambda: [device])
    assert device.name in CliRunner().invoke(main, ["devices"]).output


def test_settings_show_takes_a_folder_whose_name_is_no_text(tmp_path: Path) -> None:
    env = {**os.environ, "EDGESER_JOURNAL_PATH": os.fsdecode(b"/caf\xe9/events.db")}
    assert "/caf\\udce9/events.db" in edgeser("settings", "show", env=env).out
    shown = json.loads(edgeser("settings", "show", "--json", env=env).out)
    assert os.fsencode(shown["journal"]["path"]) == b"/caf\xe9/events.db"
