"""The service in a real systemd: installed, started, hurt and removed."""

from __future__ import annotations

import json
import re
import shutil
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile

from edgeser.model.golden import waveform
from tests.ports import free_port
from tests.sounds import monologue, silence
from tests.system.box import SHARED, Box
from tests.system.listening import Listener, listening

PROBE = Path(__file__).with_name("probe.py")
SETTINGS = "/etc/edgeser/edgeser.toml"
QUICK = "[Service]\nRestartSec=200ms\n"


@pytest.fixture
def talk(box: Box) -> Box:
    """The box, its service set to hear five minutes of short remarks from a file."""
    file = box.shared / "talk.flac"
    if not file.exists():
        remark = np.concatenate((waveform(1, 0.7), silence(0.8)))
        soundfile.write(file, np.tile(remark, 200), 16_000)
    hear(box, "talk.flac")
    return box


@pytest.fixture
def listener(talk: Box) -> Iterator[Listener]:
    """Follows the service's events."""
    with listening(endpoint(talk)) as listener:
        yield listener


def hear(box: Box, file: str, more: str = "") -> None:
    box.path(SETTINGS).write_text(f'[audio]\nsource = "{SHARED / file}"\n{more}')


def endpoint(box: Box, folder: str = "edgeser") -> str:
    return f"ipc://{box.path(f'/run/{folder}/events.sock')}"


WHEN_TOLD = """
import os, time
begun = time.time()
def told():
    try:
        return os.stat(FILE).st_mtime > begun
    except FileNotFoundError:
        return False
"""


def break_it(box: Box, code: str) -> None:
    """Have every Python of the service run this at its start; a short watchdog sees the rest.

    In ``code``, ``told()`` is true in a process that runs when ``break_now`` is called.
    """
    folder = box.shared / "defect"
    folder.mkdir(exist_ok=True)
    (folder / "now").unlink(missing_ok=True)
    told = WHEN_TOLD.replace("FILE", repr(str(SHARED / "defect" / "now")))
    (folder / "sitecustomize.py").write_text(told + code)
    box.drop_in("defect", f"[Service]\nWatchdogSec=3\nEnvironment=PYTHONPATH={SHARED / 'defect'}\n")


def break_now(box: Box, listener: Listener) -> None:
    """Not before it runs and is heard: how long that takes is the machine's affair."""
    box.run("systemctl", "start", "edgeser")
    listener.wait_for(lambda self: self.states)
    (box.shared / "defect" / "now").touch()


def test_it_starts_and_says_how_it_is(talk: Box) -> None:
    talk.run("systemctl", "start", "edgeser")
    assert talk.state()["ActiveState"] == "active"
    talk.wait_for(r"StatusText=(listening|speech), heard 0 s ago, last \w+ \d+%")
    assert "ready: file is heard" in talk.journal()


def test_shells_and_man_know_the_command(box: Box) -> None:
    share = "/usr/local/share"
    script = f"""
        source {share}/bash-completion/completions/edgeser
        COMP_WORDS=(edgeser li) COMP_CWORD=1
        _edgeser_completion edgeser
        echo "${{COMPREPLY[@]}}"
    """
    assert box.run("bash", "-c", script) == "listen"
    assert "#compdef edgeser" in box.run("cat", f"{share}/zsh/site-functions/_edgeser")
    fish = box.run("cat", f"{share}/fish/vendor_completions.d/edgeser.fish")
    assert "complete --no-files --command edgeser" in fish
    assert ".TH EDGESER 1" in box.run("cat", f"{share}/man/man1/edgeser.1")


def test_the_page_runs(box: Box) -> None:
    script = """
        coproc edgeser page --listen 127.0.0.1:0 2>&1
        read -r line <&"${COPROC[0]}"
        kill $COPROC_PID
        echo "$line"
    """
    assert "The page is at http://127.0.0.1:" in box.run("bash", "-c", script)


def test_the_sandbox_lets_loopback_through(talk: Box) -> None:
    address = f"127.0.0.1:{free_port()}"
    more = f'[events]\nbind = ["tcp://127.0.0.1:*"]\n[metrics]\nlisten = "{address}"\n'
    hear(talk, "talk.flac", more)
    talk.run("systemctl", "start", "edgeser")
    found = re.search(r"events at (tcp://127\.0\.0\.1:\d+)", talk.journal())
    assert found
    with listening(found[1]) as listener:
        listener.wait_for(lambda self: self.states)
    with urllib.request.urlopen(f"http://{address}/metrics", timeout=100) as answer:
        assert b"edgeser" in answer.read()


def test_the_sandbox_holds(talk: Box) -> None:
    (talk.shared / PROBE.name).write_text(PROBE.read_text())
    result = "/var/lib/edgeser/probe.json"
    program = f"/opt/edgeser/bin/python {SHARED / PROBE.name} {result}"
    device = talk.shared / "as-a-sound-device"
    device.write_text("")
    shutil.chown(device, group="audio")
    device.chmod(0o060)
    allowed = f"/usr/bin/test -r {SHARED / device.name}"
    talk.drop_in("probe", f"[Service]\nExecStartPre={allowed}\nExecStartPre={program}\n")
    talk.run("systemctl", "start", "edgeser")
    assert json.loads(talk.path(result).read_text()) == []
    talk.path(result).unlink()

    status = talk.path(f"/proc/{talk.state()['MainPID']}/status").read_text()
    facts = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
    for capabilities in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
        assert int(facts[capabilities], 16) == 0
    assert facts["NoNewPrivs"] == "1"
    assert facts["Seccomp"] == "2"
    assert set(facts["Uid"].split()) == {talk.run("id", "-u", "edgeser")}
    assert "0" not in facts["Groups"].split()
    events = talk.path("/run/edgeser/events.sock")
    assert events.stat().st_mode & 0o777 == 0o660
    assert events.parent.stat().st_mode & 0o777 == 0o750
    keys = talk.path("/etc/edgeser/keys").stat()
    assert (str(keys.st_uid), keys.st_mode & 0o777) == (facts["Uid"].split()[0], 0o700)


def test_a_stopped_process_is_restarted_by_the_watchdog(talk: Box, listener: Listener) -> None:
    talk.drop_in("quick", f"{QUICK}WatchdogSec=3\n")
    talk.run("systemctl", "start", "edgeser")
    listener.wait_for(lambda self: self.states)
    talk.run("systemctl", "kill", "--kill-whom=main", "--signal=SIGSTOP", "edgeser")
    talk.wait_for(r"(?s)(?=.*NRestarts=[1-9])(?=.*ActiveState=active)")
    assert "Watchdog timeout" in talk.journal()
    listener.wait_for(lambda self: len(self.epochs) >= 2)


def test_a_killed_process_is_restarted(talk: Box, listener: Listener) -> None:
    talk.run("systemctl", "start", "edgeser")
    listener.wait_for(lambda self: self.finals)
    talk.run("systemctl", "kill", "--kill-whom=main", "--signal=SIGKILL", "edgeser")
    talk.wait_for(r"(?s)(?=.*NRestarts=1)(?=.*ActiveState=active)")
    before = len(listener.finals)
    listener.wait_for(lambda self: len(self.epochs) == 2 and len(self.finals) > before)


def test_reload_keeps_the_process_and_takes_the_settings(talk: Box, listener: Listener) -> None:
    talk.run("systemctl", "start", "edgeser")
    listener.wait_for(lambda self: self.finals)
    pid = talk.state()["MainPID"]
    hear(talk, "talk.flac", "[decision]\nabstain_below = 0.99\n")
    talk.run("systemctl", "reload", "edgeser")
    listener.wait_for(lambda self: self.finals[-1].label == "unknown")
    talk.path(SETTINGS).write_text("[speech]\nmin_seconds = -3\n")
    talk.run("systemctl", "reload", "edgeser")
    listener.wait_for(lambda self: "settings_rejected" in self.faults)
    talk.wait_for(r"ActiveState=active")
    warnings = talk.run("journalctl", "-p", "warning", "-o", "cat", "-u", "edgeser")
    assert "settings_rejected: " in warnings  # journald knows the level
    assert "settings reloaded" not in warnings
    assert talk.state()["MainPID"] == pid
    assert len(listener.epochs) == 1


def test_stopping_publishes_the_last_final(talk: Box, listener: Listener) -> None:
    soundfile.write(talk.shared / "monologue.flac", monologue(60), 16_000)
    hear(talk, "monologue.flac")
    talk.run("systemctl", "start", "edgeser")
    listener.wait_for(lambda self: len(self.events) > 6 and "speech" in self.states)
    assert not listener.finals
    talk.run("systemctl", "stop", "edgeser")  # one that takes too long is killed: no success
    listener.wait_for(lambda self: "stopping" in self.states)
    assert len(listener.finals) == 1
    state = talk.state()
    assert (state["ActiveState"], state["Result"]) == ("inactive", "success")
    assert list(talk.path("/run/edgeser").iterdir()) == []


def test_bad_settings_fail_once_and_say_why(talk: Box) -> None:
    talk.path(SETTINGS).write_text("[speech]\nmin_seconds = -3\n")
    talk.drop_in("quick", QUICK)
    talk.run("systemctl", "start", "edgeser", check=False)
    talk.wait_for("ActiveState=failed")
    time.sleep(1)  # longer than RestartSec
    state = talk.state()
    assert (state["ActiveState"], state["NRestarts"]) == ("failed", "0")
    assert state["ExecMainStatus"] == "2"
    assert "speech.min_seconds: expected float >= 0.0, got -3" in talk.journal()


def test_what_never_starts_is_given_up(talk: Box) -> None:
    talk.drop_in("false", "[Service]\nExecStart=\nExecStart=/bin/false\nRestartSec=50ms\n")
    talk.run("systemctl", "start", "--no-block", "edgeser")
    talk.wait_for("ActiveState=failed")
    assert 5 <= int(talk.state()["NRestarts"]) <= 10


def test_a_stuck_backend_is_said_and_ends_in_a_restart(talk: Box, listener: Listener) -> None:
    break_it(
        talk,
        "from edgeser.model.backends.onnxruntime import OnnxRuntime\n"
        "step = OnnxRuntime.step\n"
        "def stuck(self, *given):\n"
        "    time.sleep(600 if told() else 0)\n"
        "    return step(self, *given)\n"
        "OnnxRuntime.step = stuck\n",
    )
    break_now(talk, listener)
    listener.wait_for(lambda self: "restart_due" in self.faults)
    talk.wait_for(r"NRestarts=[1-9]")
    assert "Watchdog timeout" in talk.journal()
    assert "has been in work for" in talk.journal()
    listener.wait_for(lambda self: len(self.epochs) >= 2)


def test_a_vad_that_raises_is_said_and_ends_in_a_restart(talk: Box, listener: Listener) -> None:
    break_it(
        talk,
        "from edgeser.speech.vad import VoiceActivity\n"
        "push = VoiceActivity.push\n"
        "def raising(self, samples):\n"
        "    if told(): raise ValueError('no such frame')\n"
        "    return push(self, samples)\n"
        "VoiceActivity.push = raising\n",
    )
    break_now(talk, listener)
    listener.wait_for(lambda self: "daemon_failed" in self.faults)
    talk.wait_for(r"NRestarts=[1-9]")
    assert "ValueError: no such frame" in talk.journal()
    listener.wait_for(lambda self: len(self.epochs) >= 2)


def test_several_daemons_have_each_their_settings_and_folders(talk: Box) -> None:
    for name in ("kitchen", "hall"):
        file = SHARED / "talk.flac"
        text = f'[audio]\nsource = "{file}"\nstream = "{name}"\n'
        talk.path(f"/etc/edgeser/{name}.toml").write_text(text)
    talk.run("systemctl", "start", "edgeser", "edgeser@kitchen", "edgeser@hall")
    talk.run("systemctl", "stop", "edgeser")
    for name in ("kitchen", "hall"):
        assert talk.state(f"edgeser@{name}")["ActiveState"] == "active"
        with listening(endpoint(talk, f"edgeser/{name}")) as listener:
            listener.wait_for(lambda self: self.states)
        assert {event.stream for event in listener.events} == {name}


def test_the_doctor_finds_a_sound_service_and_what_ails_it(talk: Box) -> None:
    def findings(*arguments: str) -> dict[str, tuple[bool, str]]:
        lines = talk.run("edgeser", "doctor", "--service", *arguments, "--json", check=False)
        found = [json.loads(line) for line in lines.splitlines()]
        return {f["check"]: (f["ok"], f["found"] + f["fix"]) for f in found}

    state = talk.path("/var/lib/edgeser")
    shutil.rmtree(state, ignore_errors=True)
    new = findings()
    assert new["folders"][0], "the first start makes it"
    assert "sudo systemctl start edgeser" in new["activity"][1]
    talk.run("systemctl", "enable", "--now", "edgeser")
    well = findings()
    assert all(ok for ok, _ in well.values()), well
    assert "audio" in well["account"][1]
    assert "exposure 1." in well["sandbox"][1]

    talk.run("systemctl", "disable", "edgeser")
    talk.path(SETTINGS).write_text("[speech]\nmin_seconds = -3\n")
    talk.path("/var/lib/edgeser").chmod(0o755)
    talk.drop_in("open", "[Service]\nSystemCallFilter=\nProtectSystem=no\nPrivateUsers=no\n")
    ill = findings()
    assert {check for check, (ok, _) in ill.items() if not ok} == {
        "unit",
        "settings",
        "folders",
        "sandbox",
    }
    assert "systemctl enable" in ill["unit"][1]
    assert "speech.min_seconds" in ill["settings"][1]
    assert "edgeser@nobody" in findings("edgeser@nobody")["activity"][1]
    talk.path("/var/lib/edgeser").chmod(0o700)
    key = talk.path("/etc/edgeser/keys/server.key_secret")
    key.write_text("")
    key.chmod(0o600)
    shutil.chown(key, "root")
    assert "server.key_secret: the service may not read it" in findings()["folders"][1]
    key.unlink()
    program = talk.path("/opt/edgeser/bin")
    program.chmod(0o700)
    try:
        assert "/opt/edgeser/bin: the service may not run" in findings()["program"][1]
    finally:
        program.chmod(0o755)
