"""What root does with what is a service's: the data that it keeps of people, and its model."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tests.sounds import SPEECH_FILE
from tests.system.box import SHARED, Box
from tests.system.listening import Listener
from tests.system.test_service import SETTINGS, hear, listener, talk

__all__ = ["listener", "talk"]

STATE = Path("/var/lib/edgeser")


def edgeser(box: Box, *command: str, check: bool = True) -> str:
    return box.run("edgeser", *command, "--settings", SETTINGS, check=check)


def test_the_journal_of_a_service_that_runs(talk: Box, listener: Listener) -> None:
    talk.run("systemctl", "start", "edgeser")
    listener.wait_for(lambda self: self.finals)
    assert edgeser(talk, "events", "--last", "1")
    deleted = edgeser(talk, "events", "--delete", "--all")
    assert deleted.endswith(f" events deleted from {STATE / 'journal.db'}")
    assert int(deleted.split()[0]) > 0
    before = len(listener.finals)
    listener.wait_for(lambda self: len(self.finals) > before)
    assert edgeser(talk, "events", "--topic", "emotion.", "--last", "1")
    assert talk.run("find", str(STATE), "!", "-user", "edgeser") == ""


def test_a_journal_that_cannot_be_kept_is_no_well_service_to_the_doctor(talk: Box) -> None:
    hear(talk, "talk.flac", '[journal]\npath = "/proc/edgeser/journal.db"\n')
    talk.run("systemctl", "start", "edgeser")
    talk.wait_for("StatusText=.*; events are not kept")
    lines = talk.run("edgeser", "doctor", "--service", "edgeser", "--json", check=False)
    found = {finding["check"]: finding for finding in map(json.loads, lines.splitlines())}
    assert not found["activity"]["ok"]


def test_the_voices_of_a_service_that_runs(talk: Box) -> None:
    talk.run("systemctl", "start", "edgeser")
    shutil.copy(SPEECH_FILE, talk.shared)
    talk.path(SETTINGS).write_text("")  # a microphone: no voice of a file is kept
    edgeser(talk, "baseline", "enrol", str(SHARED / SPEECH_FILE.name))
    (kept,) = talk.path(STATE / "baselines").glob("*.json")
    assert talk.run("find", str(STATE), "!", "-user", "edgeser") == ""
    assert "enrolled" in edgeser(talk, "baseline", "show")
    own = talk.run("env", "HOME=/nowhere", "edgeser", "baseline", "reset")
    assert own.endswith(f"for those of the service, --settings {SETTINGS}")
    assert kept.exists()
    assert edgeser(talk, "baseline", "reset").endswith(": forgotten")
    assert not kept.exists()


def test_who_may_not_is_told_what_to_do(talk: Box) -> None:
    talk.run("systemctl", "start", "edgeser")
    asked = f"edgeser {{}} --settings {SETTINGS}"
    for command in ("events", "events --delete --all", "baseline show", "baseline reset"):
        line = talk.run("su", "-s", "/bin/sh", "-c", asked.format(command), "nobody", check=False)
        assert line.endswith("Permission denied; try sudo"), line
    line = talk.run("env", "HOME=/nowhere", "edgeser", "events", check=False)
    assert line.endswith(f"name it with --journal or --settings (the service's: {SETTINGS})")


@pytest.mark.parametrize("folder", ["/root", "/tmp"])
def test_a_model_that_the_service_may_not_read_is_not_chosen(talk: Box, folder: str) -> None:
    name = "lightweight-emodb-int8"
    shipped = talk.run("sh", "-c", f"edgeser models {name} | sed -n 's/^file *//p'")
    copy = f"{folder}/m.onnx"
    talk.run("install", "-m", "644", shipped, copy)
    before = talk.path(SETTINGS).read_bytes()
    line = talk.run("edgeser", "models", "use", copy, check=False)
    assert line.startswith(f"edgeser: {copy}: the service edgeser may not read it; put it where")
    assert talk.path(SETTINGS).read_bytes() == before
    talk.run("systemctl", "start", "edgeser")
    done = talk.run("edgeser", "models", "use", name)
    assert "runs lightweight-emodb-int8" in done
    talk.run("systemctl", "restart", "edgeser")
