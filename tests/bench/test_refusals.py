"""Nonsense, and a machine that cannot measure, are reported in one line."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import soundfile
from click.testing import CliRunner

from edgeser.cli import main
from tests.disks import small_disk  # noqa: F401
from tests.sounds import silence
from tests.system.daemons import edgeser


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["latency", "--seconds", "0"], "--seconds: expected 3 to 86400, got 0"),
        (["latency", "--compare", "none.json"], "--compare none.json"),
        (["latency", "--compare", __file__], "no report of this version"),
        (["latency", "--compare", "/dev/zero"], "--compare /dev/zero: it is no regular file"),
        (["latency", "--fail-if", "p99>20"], "--fail-if 'p99>20': there are"),
        (["latency", "--fail-if", "fast"], "--fail-if 'fast': expected e.g."),
        (["latency", "--speech", "none.wav"], "none.wav"),
        (["latency", "--model", "nonsense"], "model 'nonsense'"),
        (["model", "--threads", "none"], "--threads: expected numbers"),
        (["model", "--batch", "1.5"], "--batch: expected whole numbers"),
        (["model", "--model", "nonsense"], "model 'nonsense'"),
        (["model", "--window", "1,15"], "--window: no model takes one of 15 s, 7 s at most"),
        (["model", "--window", "1,0.001"], "takes windows of 0.01 s or more, got 0.001"),
        (["throughput", "--seconds", "1"], "--seconds: expected 3 to 3600"),
        (["throughput", "--limit", "0"], "--limit: expected milliseconds over 0, got 0"),
        (["throughput", "--limit", "nan"], "--limit: expected milliseconds over 0, got nan"),
        (["throughput", "--limit", "inf"], "--limit: expected milliseconds over 0, got inf"),
        (["throughput", "--hop", "0"], "the daemon ended with 2; its last message: "),
        (["soak", "--hours", "0"], "--hours: expected more than 0"),
    ],
)
def test_nonsense_is_one_line(arguments: list[str], complaint: str) -> None:
    assert complaint in edgeser("bench", *arguments).refusal


@pytest.mark.parametrize("command", ["latency", "soak", "throughput", "model"])
def test_where_no_report_can_be_saved_is_said_before_the_run(command: str, tmp_path: Path) -> None:
    for option in ("--json", "--html") if command == "latency" else ("--json",):
        for wrong in (tmp_path, tmp_path / "none" / "x.json", Path("/proc/x.json")):
            done = CliRunner().invoke(main, ["bench", command, option, str(wrong)])
            assert done.exit_code == 2
            assert f"{wrong}: cannot be written: " in done.stderr
    assert not list(tmp_path.iterdir())


def test_a_file_without_speech_is_said(tmp_path: Path) -> None:
    file = tmp_path / "silent.wav"
    soundfile.write(file, silence(3), 16_000)
    assert "there is no speech in it" in edgeser("bench", "latency", "--speech", str(file)).refusal


@pytest.mark.parametrize("command", ["latency", "throughput"])
def test_a_temporary_folder_without_room_is_named(command: str, small_disk: Path) -> None:  # noqa: F811
    done = edgeser("bench", command, env={**os.environ, "TMPDIR": str(small_disk)})
    assert f"{small_disk}/edgeser-bench-" in done.refusal
    assert "set TMPDIR to a folder that has it" in done.refusal
    assert not list(small_disk.iterdir())


@pytest.mark.parametrize("command", ["soak", "throughput"])
def test_a_temporary_folder_with_too_long_a_name_is_named(command: str, tmp_path: Path) -> None:
    folder = tmp_path / ("x" * 100)
    folder.mkdir()
    done = edgeser("bench", command, env={**os.environ, "TMPDIR": str(folder)})
    assert "a Unix socket's path at most 107" in done.refusal
    assert "set TMPDIR to a folder with a shorter name" in done.refusal
