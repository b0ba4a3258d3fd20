"""Short runs of the proofs whose full figures are in docs/reliability.md."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

TRIALS = Path(__file__).parents[1] / "trials"


def trial(name: str, *options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(TRIALS / name), "--json", *options],
        capture_output=True,
        text=True,
        timeout=300,
    )


def proof(name: str, *options: str) -> dict[str, float]:
    """Run one; it says itself whether it holds."""
    done = trial(name, *options)
    assert done.returncode == 0, (done.stdout, done.stderr)
    figures: dict[str, float] = json.loads(done.stdout)
    return figures


def test_nothing_is_lost_when_the_daemon_is_killed() -> None:
    figures = proof("kill_daemon.py", "--times", "10")
    assert figures["kills"] == 10
    assert figures["told to the subscriber"] == figures["held by the journal"]


def test_subscribers_that_come_and_go_leave_nothing() -> None:
    figures = proof("churn.py", "--times", "500", "--allowed-mb", "15")
    assert figures["idle: subscribers"] == figures["busy: subscribers"] == 500


def test_what_does_not_hold_is_said_by_the_exit_code() -> None:
    done = trial("churn.py", "--times", "50", "--allowed-mb", "-1000")
    assert done.returncode == 1, done.stderr
    assert json.loads(done.stdout)["busy: subscribers"] == 50


def test_garbage_at_the_ports_disturbs_nobody() -> None:
    figures = proof("fuzz_ports.py", "--times", "1500", "--allowed-mb", "15")
    assert figures["good clients served"] == figures["good clients"]


def test_nothing_is_lost_when_broker_bridge_and_daemon_are_killed() -> None:
    options = ("--finals", "1500", "--kills", "2", "--bridge-kills", "1", "--daemon-restarts", "1")
    figures = proof("kill_broker.py", *options)
    assert figures["finals published"] == 1500
    assert figures["lost"] == figures["never published"] == figures["out of order"] == 0
