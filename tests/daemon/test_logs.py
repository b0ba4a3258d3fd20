"""Log lines: one a message, with their level for journald, or JSON for programs."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest

from edgeser.daemon.logs import JsonFormatter, TextFormatter


def record(level: int, message: str, *, failed: bool = False) -> logging.LogRecord:
    try:
        raise ValueError("because")
    except ValueError:
        why = sys.exc_info() if failed else None
    return logging.LogRecord("edgeser.daemon", level, __file__, 1, message, None, why)


def line(level: int, message: str) -> str:
    return TextFormatter(for_journald=True).format(record(level, message))


def test_every_line_has_its_level() -> None:
    assert line(logging.INFO, "ready") == "<6>ready"
    assert line(logging.WARNING, "audio_lost: gone") == "<4>audio_lost: gone"
    assert line(logging.DEBUG, "detail") == "<7>detail"
    failed = TextFormatter(for_journald=True).format(record(logging.ERROR, "it", failed=True))
    assert all(said.startswith("<3>") for said in failed.splitlines())
    assert failed.splitlines()[-1] == "<3>ValueError: because"


def test_a_files_name_makes_no_second_line() -> None:
    assert line(logging.ERROR, "a\nb\x1b[31m.wav") == r"<3>a\nb\x1b[31m.wav"
    assert TextFormatter().format(record(logging.INFO, "a\nb")) == r"INFO a\nb"


def test_json_is_one_object_a_line() -> None:
    said = JsonFormatter().format(record(logging.WARNING, "a\nb", failed=True))
    assert "\n" not in said
    fields = json.loads(said)
    assert fields.keys() == {"time", "level", "logger", "message", "exception"}
    assert (fields["level"], fields["logger"], fields["message"]) == (
        "WARNING",
        "edgeser.daemon",
        "a\nb",
    )
    assert fields["time"].endswith("+00:00")
    assert "ValueError: because" in fields["exception"]


SAYING = """
import logging
from edgeser.daemon.logs import set_up
set_up(verbose=False)
logging.getLogger().info("ready")
"""


@pytest.mark.parametrize(("is_there", "said"), [(True, "<6>ready\n"), (False, "INFO ready\n")])
def test_levels_for_journald_go_to_journald_only(tmp_path: Path, is_there: bool, said: str) -> None:
    """A variable that a shell or a redirection has inherited says nothing."""
    with (tmp_path / "log").open("wb") as log:
        facts = os.fstat(log.fileno() if is_there else 0)
        env = {**os.environ, "JOURNAL_STREAM": f"{facts.st_dev}:{facts.st_ino}"}
        subprocess.run([sys.executable, "-c", SAYING], stderr=log, env=env, check=True)
    assert (tmp_path / "log").read_text() == said
