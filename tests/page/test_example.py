"""The example that plays a sound to a daemon and shows the page of it."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from .world import PATIENCE_S

EXAMPLE = [sys.executable, str(Path(__file__).parents[2] / "examples" / "page.py")]


def test_daemon_and_page_end_with_it() -> None:
    process = subprocess.Popen(
        [*EXAMPLE, "--listen", "127.0.0.1:0"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline().startswith(b"The page is at http://127.0.0.1:")
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=PATIENCE_S)  # until nobody holds the pipe
        assert process.returncode == 0
    finally:
        process.kill()


@pytest.mark.parametrize(
    ("file", "words"),
    [("none.wav", "there is no such file"), ("text.wav", "not a sound file that can be read")],
)
def test_what_is_no_sound_is_one_line_and_starts_nothing(
    tmp_path: Path, file: str, words: str
) -> None:
    (tmp_path / "text.wav").write_text("not a sound")
    command = [*EXAMPLE, str(tmp_path / file), "--listen", "127.0.0.1:0"]
    # A daemon that is left would hold the pipes.
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S)
    assert done.returncode == 2
    assert done.stdout == ""
    assert len(done.stderr.splitlines()) == 1
    assert words in done.stderr


def test_a_page_that_cannot_be_served_ends_the_daemon() -> None:
    command = [*EXAMPLE, "--listen", "nowhere"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S)
    assert done.returncode == 2
    assert "expected HOST:PORT" in done.stderr
