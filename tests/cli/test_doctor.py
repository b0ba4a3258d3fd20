"""``edgeser doctor`` looks at the journal and at our units, and leaves nothing behind."""

from __future__ import annotations

import os
import pwd
from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner

from edgeser.cli import main
from edgeser.doctor.installation import Finding, examine
from edgeser.doctor.service import Service, examine_service
from edgeser.events.journal.store import JournalStore
from edgeser.events.publish.publisher import Publisher
from edgeser.settings.schema import (
    AudioSettings,
    EventSettings,
    JournalSettings,
    Settings,
    SpeechSettings,
)
from tests.events.helpers import status
from tests.system.daemons import edgeser


def found(file: Path, **settings: object) -> Finding:
    kept = msgspec.convert({"path": str(file), **settings}, JournalSettings)
    findings = examine(Settings(journal=kept), only=("journal",))
    [finding] = findings
    return finding


def test_where_a_journal_can_be_kept(tmp_path: Path) -> None:
    file = tmp_path / "new" / "journal.db"
    assert f"{file}, 0 events" in found(file, max_mb=1).found
    assert found(file, max_mb=1).ok
    assert not file.parent.exists(), "only looked at"
    assert "none is kept" in found(file, enabled=False).found
    store = JournalStore(tmp_path / "journal.db", "e")
    assert found(tmp_path / "journal.db", max_mb=1).ok, "while the daemon writes it"
    store.close()


def test_folders_that_a_daemon_would_make_are_not_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RUNTIME_DIRECTORY", str(tmp_path / "run"))
    path = tmp_path / "new" / "events.sock"
    events = msgspec.convert({"bind": [f"ipc://{path}"]}, EventSettings)
    findings = list(examine(Settings(events=events), only=("runtime folder", "endpoints")))
    assert [finding.ok for finding in findings] == [True, True], findings
    assert f"ipc://{path} is free" in findings[1].found
    assert not list(tmp_path.iterdir())
    (tmp_path / "new").touch()  # where the folder should come
    for finding in examine(Settings(events=events), only=("endpoints",)):
        assert not finding.ok
        assert "new: " in finding.found
        assert "events.bind" in finding.fix or "--bind" in finding.fix


def test_where_none_can_be_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    foreign = tmp_path / "notes.txt"
    foreign.write_text("no journal\n" * 1000)
    for file, fix in (
        (foreign, "move it away"),
        (tmp_path, "journal.path"),
        (foreign / "journal.db", "journal.path"),
        (Path("/proc/edgeser/journal.db"), "journal.path"),
    ):
        finding = found(file)
        assert not finding.ok, finding
        assert fix in finding.fix
        assert str(file) in finding.found
    monkeypatch.setattr("shutil.disk_usage", lambda _: _Usage())
    full = found(tmp_path / "journal.db")
    assert not full.ok
    assert "5 MB free; it may grow by 100 MB" in full.found
    assert "lower journal.max_mb" in full.fix


class _Usage:
    """A disk that is nearly full: none can be filled here."""

    free = 5e6


def test_what_the_daemon_would_refuse_is_found(tmp_path: Path) -> None:
    tokens = tmp_path / "tokens"
    network = {"source": "tls://*:7790", "tokens": str(tokens)}
    audio = msgspec.convert(network, AudioSettings)
    [finding] = examine(Settings(audio=audio), only=("network microphones",))
    assert not finding.ok
    speech = msgspec.convert({"max_seconds": 1.0}, SpeechSettings)
    [finding] = examine(Settings(speech=speech), only=("model",))
    assert not finding.ok
    assert "max_seconds" in finding.found


def test_a_variable_of_no_section_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    [finding] = examine(Settings(), only=("environment",))
    assert finding.ok
    monkeypatch.setenv("EDGESER_AUDOI_DEVICE", "USB")
    [finding] = examine(Settings(), only=("environment",))
    assert not finding.ok
    assert "no section 'audoi'" in finding.found


@pytest.mark.parametrize("unit", ["mqtt", "ssh.service", "edgeser@", "edgeser-mqtt@x", ""])
def test_a_unit_that_is_none_of_ours_is_refused(unit: str) -> None:
    done = edgeser("doctor", "--service", unit)
    assert done.code == 2
    assert done.out == ""
    assert done.err == (
        f"edgeser: {unit!r}: no unit of edgeser; there is edgeser, edgeser-mqtt, edgeser-nats, "
        "edgeser-lake, edgeser@NAME\n"
    )


@pytest.mark.parametrize("unit", ["edgeser", "edgeser.service", "edgeser@kitchen", "edgeser-lake"])
def test_our_units_are_known(unit: str) -> None:
    assert Service(unit).unit == unit


def test_what_is_not_installed_is_told_how_to_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "edgeser.list"
    monkeypatch.setattr("edgeser.doctor.service._PACKAGE", package)
    monkeypatch.setattr(Service, "state", {"LoadState": "not-found"})  # as systemd says it

    def fix(unit: str) -> str:
        [finding] = examine_service(Service(unit))  # there is nothing else to say
        assert not finding.ok
        return finding.fix

    assert fix("edgeser") == "sudo make install-service"
    package.touch()
    assert fix("edgeser-mqtt") == "sudo apt-get install --reinstall ./edgeser_….deb"
    assert fix("edgeser-lake") == "sudo make install-service LAKE=1"


def test_without_systemd_a_service_is_one_finding(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edgeser.doctor.service._SYSTEMD", tmp_path / "none")
    [finding] = examine_service(Service("edgeser"))
    assert not finding.ok
    assert finding.found == "systemd does not run here"


def test_a_unit_that_was_given_up_is_started_in_spite_of_the_limit(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    state = {"LoadState": "loaded", "NeedDaemonReload": "no", "UnitFileState": "enabled"}
    failed = {"ActiveState": "failed", "StatusText": "", "NRestarts": "10", "Result": "exit-code"}
    monkeypatch.setattr(Service, "state", {**state, **failed, "User": "root"})
    findings = {one.check: one for one in examine_service(Service("edgeser"))}
    assert "reset-failed edgeser && sudo systemctl start edgeser" in findings["activity"].fix


@pytest.mark.parametrize(
    ("text", "fix"),
    [
        ("listening, heard 0 s ago", ""),
        ("listening, muted, heard 0 s ago", "edgeser mute off --connect ipc:///run/edgeser/"),
    ],
)
def test_that_a_service_is_muted_is_a_note(
    text: str, fix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = {"LoadState": "loaded", "NeedDaemonReload": "no", "UnitFileState": "enabled"}
    active = {"ActiveState": "active", "StatusText": text, "NRestarts": "0", "Result": "success"}
    program = {"ExecStart": "{ path=/opt/new/bin/edgeser ; argv[]=x }"}
    monkeypatch.setattr(Service, "state", {**state, **active, **program, "User": "root"})
    monkeypatch.setattr(Service, "settings", Path("/nowhere/edgeser.toml"))
    findings = {one.check: one for one in examine_service(Service("edgeser"))}
    assert findings["activity"].ok
    assert fix in findings["activity"].fix
    assert bool(fix) == bool(findings["activity"].fix)
    copy = "sudo install -D -m 644 /opt/new/share/edgeser/edgeser.toml /nowhere/edgeser.toml"
    assert findings["settings"].fix == copy


def test_a_note_says_how_to_undo_it_and_is_no_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    muted = Finding("endpoints", True, "held by a daemon that runs (mic: muted)", "mute off")
    monkeypatch.setattr("edgeser.doctor.installation.examine", lambda _: [muted])
    done = CliRunner().invoke(main, ["doctor"])
    assert done.output == f"note endpoints: {muted.found}\n       undo: mute off\n"
    assert done.exit_code == 0


@pytest.mark.parametrize(
    ("text", "fix"),
    [
        ("no audio, network microphone 'hall': has not connected", "each network microphone"),
        ("degraded, at the wrong pace, heard 0 s ago", "have the device record 16 kHz"),
    ],
)
def test_of_a_network_microphone_that_is_away_or_wrong_it_names_no_plug(
    text: str, fix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = {"ActiveState": "active", "StatusText": text, "StatusErrno": "5", "NRestarts": "0"}
    loaded = {"LoadState": "loaded", "NeedDaemonReload": "no", "UnitFileState": "enabled"}
    monkeypatch.setattr(Service, "state", {**state, **loaded, "Result": "success", "User": "root"})
    activity = {one.check: one for one in examine_service(Service("edgeser"))}["activity"]
    assert not activity.ok
    assert fix in activity.fix
    assert "audio.device" not in activity.fix


def test_a_daemon_that_hears_at_the_wrong_pace_is_a_failure(tmp_path: Path) -> None:
    wrong = msgspec.structs.replace(status("hall"), state="degraded", wrong_pace=True)

    def tell() -> None:
        for _ in range(3):
            publisher.publish(wrong)

    endpoint = f"ipc://{tmp_path}/events.sock"
    with Publisher([endpoint], on_subscribe=tell) as publisher:
        settings = Settings(events=msgspec.convert({"bind": [endpoint]}, EventSettings))
        [finding] = examine(settings, only=("endpoints",))
    assert not finding.ok
    assert "held by a daemon that runs (hall: degraded, at the wrong pace)" in finding.found
    assert "have the device record 16 kHz" in finding.fix


@pytest.mark.parametrize("heard", [True, False])
def test_a_microphone_that_the_daemon_has_to_itself_is_not_missing(
    heard: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As PortAudio does with an ALSA device that is busy: it cannot open it, so it does not list it.
    monkeypatch.setattr("edgeser.audio.devices.input_devices", list)
    state = msgspec.structs.replace(status("mic"), state="listening" if heard else "no_audio")

    def tell() -> None:
        for _ in range(3):
            publisher.publish(state)

    endpoint = f"ipc://{tmp_path}/events.sock"
    with Publisher([endpoint], on_subscribe=tell) as publisher:
        settings = Settings(events=msgspec.convert({"bind": [endpoint]}, EventSettings))
        [finding] = examine(settings, only=("microphones",))
    assert finding.ok == heard
    assert finding.found == (
        "in use by the daemon that runs" if heard else "PortAudio works but finds no microphone"
    )
    assert heard or "plug one in, or end the program that has it to itself" in finding.fix


def test_who_may_listen_may_not_read_a_password(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    password, settings = tmp_path / "password", tmp_path / "edgeser.toml"
    password.write_text("secret\n")
    settings.write_text(f'[mqtt]\nbroker = "b"\nuser = "u"\npassword_file = "{password}"\n')
    loaded = {"LoadState": "loaded", "NeedDaemonReload": "no", "UnitFileState": "enabled"}
    active = {"ActiveState": "active", "StatusText": "", "NRestarts": "0", "Result": "success"}
    user = pwd.getpwuid(os.getuid()).pw_name
    monkeypatch.setattr(Service, "state", {**loaded, **active, "User": user})
    monkeypatch.setattr(Service, "settings", settings)
    for mode, found in ((0o640, "whoever may listen"), (0o600, "for the service's eyes")):
        password.chmod(mode)
        findings = {one.check: one for one in examine_service(Service("edgeser-mqtt"))}
        finding = findings["password"]
        assert (finding.ok, found in finding.found) == (mode == 0o600, True)
        assert finding.ok or "chmod 600" in finding.fix


def test_settings_of_a_service_mean_its_folders(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    monkeypatch.setattr("edgeser.settings.load.load_daemon_settings", asked.append)
    monkeypatch.setattr("edgeser.doctor.installation.examine", lambda settings: iter(()))
    file = "/etc/edgeser/edgeser.toml"
    assert CliRunner().invoke(main, ["doctor", "--settings", file]).exit_code == 0
    assert [str(asked_of) for asked_of in asked] == [file]
