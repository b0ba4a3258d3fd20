"""How ``edgeser run`` ends, as whoever starts it again is told."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.sounds import SPEECH_FILE

FAILING = """
import sys
from edgeser.cli import main
from edgeser.daemon.intake import Intake

def hear(self, item):
    raise OSError(5, "Input/output error")

Intake.hear = hear
main(sys.argv[1:])
"""


def test_a_machine_that_fails_while_it_runs_is_a_line_and_worth_another_start(
    tmp_path: Path,
) -> None:
    done = subprocess.run(
        [
            *(sys.executable, "-c", FAILING, "run", "--source", str(SPEECH_FILE)),
            *("--bind", f"ipc://{tmp_path}/events.sock"),
        ],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 1, done.stderr  # not 2, after which systemd does not try again
    assert done.stderr.splitlines()[-1] == "edgeser: [Errno 5] Input/output error"
    assert "Traceback" not in done.stderr
