"""Checks of the installed service: its unit, its account, its files and its sandbox."""

from __future__ import annotations

import grp
import os
import pwd
import re
import shutil
import stat
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from edgeser.doctor.installation import WRONG_PACE_FIX, AskedForError, Finding
from edgeser.errors import UserError
from edgeser.paths import SERVICE_SETTINGS, ServiceFolders, default_endpoint, service_folders
from edgeser.settings.load import load_settings

MAX_EXPOSURE = 1.5
"""Exposure by ``systemd-analyze security``: 0 is a perfect sandbox, 10 is none."""

_PROPERTIES = (
    "LoadState,UnitFileState,ActiveState,StatusText,StatusErrno,NRestarts,Result,User,"
    "NeedDaemonReload,ExecStart,ProtectHome,PrivateTmp"
)

_SYSTEMD = Path("/run/systemd/system")
_BRIDGES = ("edgeser-mqtt", "edgeser-nats", "edgeser-lake")
_SINGLE = ("edgeser", *_BRIDGES)
_KEYS = Path("/etc/edgeser/keys")
_PACKAGE = Path("/var/lib/dpkg/info/edgeser.list")
"""dpkg's list of the Debian package's files, if it is or was installed."""


class _NoUnitError(UserError):
    """There is no such unit here, so no further check makes sense."""


@dataclass(frozen=True)
class Service:
    """One of our units: ``edgeser``, ``edgeser@NAME``, ``edgeser-mqtt``, ``-nats`` or ``-lake``.

    Raises UserError for another.
    """

    unit: str

    def __post_init__(self) -> None:
        if not (self.unit.removesuffix(".service") in _SINGLE or self._instance):
            raise UserError(
                f"{self.unit!r}: no unit of edgeser", f"there is {', '.join(_SINGLE)}, edgeser@NAME"
            )

    @cached_property
    def state(self) -> dict[str, str]:
        """The unit's properties from systemd. Raises UserError if there is no systemd."""
        if not _SYSTEMD.is_dir():
            raise _NoUnitError("systemd does not run here", "use 'edgeser run' without it")
        done = subprocess.run(
            ["systemctl", "show", self.unit, f"--property={_PROPERTIES}"],
            capture_output=True,
            text=True,
            timeout=30,
        )
        if done.returncode:
            raise UserError(f"systemctl: {' '.join(done.stderr.split())}", "try it as root")
        return dict(line.split("=", 1) for line in done.stdout.splitlines())

    @property
    def is_active(self) -> bool:
        """Whether it runs and has heard something."""
        return self.state["ActiveState"] == "active"

    @property
    def is_well(self) -> bool:
        """Whether it reports that it hears, or hands events on, at present."""
        return self.is_active and self.state.get("StatusErrno", "0") == "0"

    @property
    def program(self) -> Path | None:
        """The program that it runs."""
        found = re.search(r"path=(/\S+)", self.state.get("ExecStart", ""))
        return Path(found[1]) if found else None

    @property
    def settings(self) -> Path:
        """Its settings file."""
        return SERVICE_SETTINGS.with_stem(self._instance or SERVICE_SETTINGS.stem)

    @property
    def runtime(self) -> Path:
        """Folder of its sockets."""
        return self._folders.runtime

    @property
    def is_bridge(self) -> bool:
        """Whether it hands on or stores events instead of publishing them."""
        return self.unit.removesuffix(".service") in _BRIDGES

    @property
    def state_folder(self) -> Path:
        """Folder of its lasting data."""
        if self.is_bridge:
            return Path("/var/lib") / self.unit.removesuffix(".service")
        return self._folders.state

    @cached_property
    def account(self) -> pwd.struct_passwd:
        """Its user. Raises UserError if there is none."""
        name = self.state["User"] or "edgeser"
        try:
            return pwd.getpwnam(name)
        except KeyError:
            raise UserError(f"no user '{name}'", "sudo make install-service") from None

    def check_can_read(self, file: Path) -> None:
        """Raises UserError if its account or its sandbox keeps it from reading a file.

        Does nothing unless run by root, with systemd knowing the unit.
        """
        if os.geteuid() != 0 or not _SYSTEMD.is_dir() or self.state["LoadState"] != "loaded":
            return
        user, group = self.account.pw_uid, self.account.pw_gid
        groups = os.getgrouplist(self.account.pw_name, group)
        command = ["test", "-r", str(file)]
        done = subprocess.run(command, user=user, group=group, extra_groups=groups)
        if done.returncode or any(file.resolve().is_relative_to(path) for path in self._hidden):
            raise UserError(
                f"{file}: the service {self.unit} may not read it",
                "put it where it may, e.g. in /usr/local/share",
            )

    @property
    def _hidden(self) -> list[str]:
        """Folders that its sandbox hides."""
        homes = ["/home", "/root", "/run/user"] if self.state["ProtectHome"] == "yes" else []
        return homes if self.state["PrivateTmp"] == "no" else [*homes, "/tmp", "/var/tmp"]

    @property
    def _folders(self) -> ServiceFolders:
        return service_folders(self._instance)

    @property
    def _instance(self) -> str:
        name, _, instance = self.unit.removesuffix(".service").partition("@")
        return instance if name == "edgeser" else ""


def examine_service(service: Service) -> Iterator[Finding]:
    """Run every check, one after the other; none of them raises."""
    checks = _CHECKS | _BRIDGE_CHECKS if service.is_bridge else _CHECKS
    for name, check in checks.items():
        try:
            yield Finding(name, True, check(service))
        except UserError as error:
            asked_for = isinstance(error, AskedForError)
            yield Finding(name, asked_for, error.what, error.fix or "see the message")
            if isinstance(error, _NoUnitError):
                return
        except (OSError, subprocess.SubprocessError) as error:
            yield Finding(name, False, str(error), "see the message")


def _unit(service: Service) -> str:
    state = service.state
    if state["LoadState"] != "loaded":
        raise _NoUnitError(f"{service.unit}: not installed", _installation(service))
    if state["NeedDaemonReload"] == "yes":
        raise UserError("changed since it was read", "sudo systemctl daemon-reload")
    found = f"{service.unit}: {state['UnitFileState']}"
    if state["UnitFileState"] != "enabled":
        raise UserError(found, f"sudo systemctl enable {service.unit}")
    return found


def _activity(service: Service) -> str:
    state = service.state
    words = [state["ActiveState"], state["StatusText"], f"{state['NRestarts']} restarts"]
    if state["Result"] != "success":
        words.append(f"last result: {state['Result']}")
    found = "; ".join(filter(None, words))
    if not service.is_well:
        raise UserError(found, _remedy(service))
    if re.search(r", muted\b", state["StatusText"]):
        mute_off = f"sudo edgeser mute off --connect {default_endpoint(service.runtime)}"
        raise AskedForError(found, mute_off)
    return found


def _remedy(service: Service) -> str:
    """What to do if it does not run, hear or hand events on."""
    state, log = service.state, f"see sudo journalctl -u {service.unit}"
    if state["ActiveState"] == "inactive":
        return f"sudo systemctl start {service.unit}"
    if state["ActiveState"] == "failed":
        # After ten starts systemd refuses another until its count is reset.
        again = f"sudo systemctl reset-failed {service.unit} && sudo systemctl start {service.unit}"
        return f"{log}, fix what it says, and {again}"
    if service.is_bridge:
        return state["StatusText"].partition("; ")[2] or log
    if re.search(r", at the wrong pace\b", state["StatusText"]):
        return WRONG_PACE_FIX
    microphone = "plug in a microphone, or name one in audio.device ('edgeser devices')"
    if "network microphone" in state["StatusText"]:
        microphone = "see that each network microphone named is on and reaches this machine"
    return f"if no sound comes, {microphone}; else {log}"


def _account(service: Service) -> str:
    account = service.account
    groups = {grp.getgrgid(g).gr_name for g in os.getgrouplist(account.pw_name, account.pw_gid)}
    found = f"user {account.pw_name}, groups {' '.join(sorted(groups))}"
    if account.pw_uid == 0:
        raise UserError(found, "give the unit a user of its own: User=edgeser")
    if "audio" not in groups:
        raise UserError(found, f"sudo usermod -aG audio {account.pw_name}")
    return found


def _program(service: Service) -> str:
    program = service.program
    if program is None:
        raise UserError(f"{service.unit}: runs no program", _installation(service))
    for path in (*reversed(program.parents), program):
        if not _allows(path.stat(), service.account, stat.S_IXOTH):
            fix = f"install it again, or sudo chmod -R a+rX {path}"
            raise UserError(f"{path}: the service may not run what is there", fix)
    return str(program)


def _settings(service: Service) -> str:
    file = service.settings
    if not file.exists():
        prefix = service.program.parents[1] if service.program else Path("/opt/edgeser")
        fix = f"sudo install -D -m 644 {prefix}/share/edgeser/edgeser.toml {file}"
        raise UserError(f"{file}: not there", fix)
    load_settings(file, environment={})
    facts = file.stat()
    if not _allows(facts, service.account, stat.S_IROTH):
        raise UserError(f"{file}: the service may not read it", f"sudo chmod a+r {file}")
    if _allows(facts, service.account, stat.S_IWOTH):
        fix = f"sudo chown root: {file}; sudo chmod 644 {file}"
        raise UserError(f"{file}: the service could change it", fix)
    return f"{file}: valid, and not the service's to change"


def _folders(service: Service) -> str:
    is_lake = service.unit.startswith("edgeser-lake")
    wanted = [(service.state_folder, 0o750 if is_lake else 0o700)]
    if service.is_active and not service.is_bridge:
        wanted.append((service.runtime, 0o750))
    for folder, mode in wanted:
        if not folder.is_dir() and service.is_active:
            raise UserError(f"{folder}: not there", f"sudo systemctl restart {service.unit}")
        if not folder.is_dir():
            return f"{folder}: not there yet, the first start makes it"
        facts = folder.stat()
        found = f"{folder}: mode {facts.st_mode & 0o777:o}, owner {facts.st_uid}"
        if facts.st_uid != service.account.pw_uid or facts.st_mode & 0o777 & ~mode:
            fix = f"sudo chown {service.account.pw_name}: {folder}; sudo chmod {mode:o} {folder}"
            raise UserError(found, fix)
    for key in [] if service.is_bridge else [_KEYS, *_KEYS.rglob("*")]:
        if key.exists() and not _allows(key.stat(), service.account, stat.S_IROTH):
            fix = f"sudo chown -R {service.account.pw_name}: {_KEYS}"
            raise UserError(f"{key}: the service may not read it", fix)
    return ", ".join(str(folder) for folder, _ in wanted)


def _sandbox(service: Service) -> str:
    if shutil.which("systemd-analyze") is None:
        return "not measured: there is no systemd-analyze"
    unit = service.unit if "." in service.unit else f"{service.unit}.service"
    done = subprocess.run(
        ["systemd-analyze", "security", "--no-pager", unit],
        capture_output=True,
        text=True,
        timeout=60,
    )
    exposure = re.search(r"exposure level for \S+: ([\d.]+)", done.stdout)
    if exposure is None:
        return f"not measured: {' '.join(done.stderr.split())}"
    found = f"exposure {exposure[1]} of 10"
    if float(exposure[1]) > MAX_EXPOSURE:
        fix = f"a drop-in opens it; see systemctl cat {service.unit}"
        raise UserError(f"{found}, more than {MAX_EXPOSURE}", fix)
    return found


def _password(service: Service) -> str:
    settings = load_settings(service.settings, environment={})
    mqtt, nats, lake = settings.mqtt, settings.nats, settings.lake
    key, there, secret = {
        "edgeser-mqtt": ("mqtt.broker", mqtt.broker, mqtt.password_file),
        "edgeser-nats": ("nats.server", nats.server, nats.credentials or nats.password_file),
        "edgeser-lake": ("lake.server", lake.server, lake.credentials or lake.password_file),
    }[service.unit.removesuffix(".service")]
    what = key.partition(".")[2]
    if there is None:
        fix = f"name it in the [{key.partition('.')[0]}] table of {service.settings}"
        raise UserError(f"{key}: no {what} is named", fix)
    if secret is None:
        return "none is set"
    file = Path(secret)
    if not file.exists():
        raise UserError(f"{file}: not there", "put there what the settings name")
    facts = file.stat()
    fix = f"sudo chown {service.account.pw_name}: {file}; sudo chmod 600 {file}"
    if not _allows(facts, service.account, stat.S_IROTH):
        raise UserError(f"{file}: the service may not read it", fix)
    if facts.st_mode & stat.S_IROTH:
        raise UserError(f"{file}: everybody may read it", fix)
    if facts.st_mode & stat.S_IRGRP and facts.st_gid == service.account.pw_gid:
        raise UserError(f"{file}: whoever may listen may read it", fix)
    return f"{file}: for the service's eyes"


def _installation(service: Service) -> str:
    """The command that installs the unit, depending on how edgeser was installed here."""
    if service.unit.startswith("edgeser-lake"):  # a Debian package has none
        return "sudo make install-service LAKE=1"
    if _PACKAGE.exists():
        return "sudo apt-get install --reinstall ./edgeser_….deb"
    return "sudo make install-service"


def _allows(facts: os.stat_result, account: pwd.struct_passwd, permission: int) -> bool:
    """Whether a user has a permission, given as its bit for others."""
    if facts.st_uid == account.pw_uid:
        return bool(facts.st_mode & permission << 6)
    if facts.st_gid in os.getgrouplist(account.pw_name, account.pw_gid):
        return bool(facts.st_mode & permission << 3)
    return bool(facts.st_mode & permission)


_CHECKS: dict[str, Callable[[Service], str]] = {
    "unit": _unit,
    "activity": _activity,
    "account": _account,
    "program": _program,
    "settings": _settings,
    "folders": _folders,
    "sandbox": _sandbox,
}

_BRIDGE_CHECKS: dict[str, Callable[[Service], str]] = {"password": _password}
