"""The small parts: the wire format, choosing a device, opening a source."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from edgeser.audio.devices import Device, find_device
from edgeser.audio.file import FileSource
from edgeser.audio.microphone import Microphone
from edgeser.audio.open import open_source
from edgeser.audio.overflow import OverflowReport
from edgeser.audio.source import SourceError
from edgeser.audio.wire import Kind, Parser, header, packed
from edgeser.errors import UserError

TROUBLESHOOTING = Path(__file__).parents[2] / "docs" / "troubleshooting.md"

DEVICES = [
    Device("HDA Intel: Mic (hw:0,0)", 2, 48_000, False, "ALSA"),
    Device("USB Camera: Audio (hw:1,0)", 1, 44_100, False, "ALSA"),
    Device("USB Array: Audio (hw:2,0)", 4, 16_000, False, "ALSA"),
    Device("pulse", 32, 44_100, False, "ALSA"),
    Device("pulse monitor", 32, 44_100, True, "ALSA"),
]


@given(st.lists(st.binary(max_size=700), max_size=5), st.integers(1, 100))
def test_messages_survive_any_split(payloads: list[bytes], size: int) -> None:
    sent = packed(Kind.OPENED, {"rate": 48_000}) + b"".join(
        header(Kind.AUDIO, len(payload), 12.5, True) + payload for payload in payloads
    )
    parser = Parser()
    opened, *audio = [
        message for at in range(0, len(sent), size) for message in parser.feed(sent[at : at + size])
    ]
    assert opened.json() == {"rate": 48_000}
    assert [message.payload for message in audio] == payloads
    assert all(message.captured_at == 12.5 and message.overflowed for message in audio)


def test_what_is_no_message_is_an_error() -> None:
    with pytest.raises(ValueError, match="expected a message"):
        list(Parser().feed(b"ALSA lib pcm_dsnoop.c: unable to open slave"))


@pytest.mark.parametrize(
    ("wanted", "index"),
    [(None, 4), ("pulse", 3), ("PULSE", 3), ("camera", 1), ("hw:2", 2), ("HDA Intel", 0)],
)
def test_a_device_is_found_by_name_or_part_of_it(wanted: str | None, index: int) -> None:
    assert find_device(DEVICES, wanted) == index


def test_a_device_that_is_not_there_or_not_clear_is_refused_with_the_names() -> None:
    with pytest.raises(UserError, match=r"no input device 'x'; there are: HDA .* pulse monitor"):
        find_device(DEVICES, "x")
    with pytest.raises(UserError, match=r"could be any of: USB Camera.*, USB Array.*more of"):
        find_device(DEVICES, "usb")
    with pytest.raises(UserError, match="no default input device; choose one of: HDA"):
        find_device(DEVICES[:3], None)
    with pytest.raises(UserError, match="no input device on this machine"):
        find_device([], None)


def test_the_documentation_has_the_words_that_are_said() -> None:
    with pytest.raises(UserError) as refused:
        find_device(DEVICES, "LINE 7")
    said = str(refused.value).replace("LINE 7", "USB").partition("HDA")[0]
    assert f"`{said}…`" in TROUBLESHOOTING.read_text()


def test_overflows_do_not_flood() -> None:
    report = OverflowReport(every_s=10.0)
    assert report.due(0.0) is None
    report.count(1_600)
    first = report.due(1.0)
    assert first is not None
    assert "1 time, about 0.100 s" in first.message
    for _ in range(500):
        report.count(320)
        assert report.due(5.0) is None
    second = report.due(11.0)
    assert second is not None
    assert "500 times, about 10.000 s of sound; 501 in all" in second.message
    assert report.due(100.0) is None


def test_a_source_is_opened_by_its_name(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    soundfile.write(path, np.zeros(100), 16_000)
    assert isinstance(open_source(str(path), fast=True), FileSource)
    assert open_source(str(path)).live
    assert isinstance(open_source("mic", device="usb"), Microphone)
    with pytest.raises(SourceError, match="a microphone has one speed"):
        open_source("mic", fast=True)
    with pytest.raises(SourceError, match="no such file"):
        open_source("nosuch.wav")
