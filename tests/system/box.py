"""A box with a real systemd in it: an overlay of this machine's root, booted by systemd-nspawn.

A test that asks for the fixture ``box`` gets one in which edgeser was installed by ``make
install-service``, with Debian's Python: the service sees no interpreter in a home folder. It is
skipped, with the reason, where that cannot be had. What happens in the box leaves no trace outside.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parents[2]
PACKAGES = "systemd systemd-container dbus python3-venv"
PYTHON = "/usr/bin/python3"

SHARED = Path("/srv/shared")
"""Folder that both sides see; outside it is ``Box.shared``."""

_NETWORK = re.compile("pip_|ssl_|requests_|.*_proxy", re.IGNORECASE)
_ENOUGH_S = 100.0
_TARGET = "[Unit]\nRequires=basic.target dbus.service\nAfter=basic.target\nAllowIsolate=yes\n"


def why_unavailable() -> str | None:
    """What is missing on this machine, or None where a box can run."""
    if os.geteuid() != 0:
        return "a box needs root"
    for program in ("systemd-nspawn", "dbus-daemon", "nsenter", "unshare", PYTHON):
        if shutil.which(program) is None:
            return f"no {program}: apt-get install {PACKAGES}"
    able = "import ensurepip, sys; sys.exit(sys.version_info < (3, 10))"
    if subprocess.run([PYTHON, "-c", able], capture_output=True).returncode:
        return f"{PYTHON} makes no virtual environment, or is older than 3.10"
    if subprocess.run(["unshare", "--mount", "true"], capture_output=True).returncode:
        return "this machine allows no mounts"
    return None


class CannotRunError(Exception):
    """A command outside the box failed; the message has what it printed."""


class Box:
    """A booted system. ``root``: its files before it boots; ``shared``: a folder on both sides."""

    def __init__(self) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="box-"))
        self._layers = self._folder / "layers"
        self.root = self._folder / "root"
        self.shared = self._folder / "shared"
        self.log = self._folder / "log"
        self._nspawn: subprocess.Popen[bytes] | None = None
        self._init = 0

    def prepare(self) -> None:
        """Mount the box's files. Raises CannotRunError where that is not allowed."""
        for folder in (self._layers, self.root, self.shared):
            folder.mkdir()
        self.shared.chmod(0o755)
        _run("mount", "-t", "tmpfs", "tmpfs", str(self._layers))
        upper, work = self._layers / "upper", self._layers / "work"
        upper.mkdir()
        work.mkdir()
        options = f"lowerdir=/,upperdir={upper},workdir={work}"
        _run("mount", "-t", "overlay", "overlay", "-o", options, str(self.root))
        (self.root / "etc/machine-id").write_text("")
        (self.root / "etc/systemd/system/box.target").write_text(_TARGET)

    def boot(self) -> None:
        """Start systemd in the box and return when it is ready. Raises CannotRunError."""
        with self.log.open("wb") as log:
            self._nspawn = subprocess.Popen(
                [
                    "systemd-nspawn",
                    *("--quiet", "--keep-unit", "--register=no", "--boot"),
                    *("--directory", str(self.root), "--machine", f"box-{os.getpid()}"),
                    *(f"--bind={self.shared}:{SHARED}", f"--bind-ro={CHECKOUT}:/srv/checkout"),
                    *("--console=pipe", "systemd.unit=box.target"),
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        pid = self._nspawn.pid
        children = Path(f"/proc/{pid}/task/{pid}/children")
        deadline = time.monotonic() + _ENOUGH_S
        while True:
            if self._nspawn.poll() is not None or time.monotonic() > deadline:
                raise CannotRunError(f"it does not boot: {self.log.read_text()[-2000:]}")
            if found := children.read_text().split():
                self._init = int(found[0])
                if self.run("systemctl", "is-active", "box.target", check=False) == "active":
                    return
            time.sleep(0.1)

    def install(self) -> None:
        """Install edgeser as its README says, unless it is."""
        if not self.path("/etc/systemd/system/edgeser.service").exists():
            network = (f"{name}={os.environ[name]}" for name in os.environ if _NETWORK.match(name))
            make = ("make", "-C", "/srv/checkout", "install-service", "LAKE=1")
            self.run("env", *network, *make, timeout_s=900)  # pip fetches some 200 MB

    def run(self, *command: str, check: bool = True, timeout_s: float = 100) -> str:
        """What a command in the box prints."""
        namespaces = ("-m", "-u", "-i", "-n", "-p", "-C", "-r", "-w")
        entered = ["nsenter", "-t", str(self._init), *namespaces, "--"]
        clean = ["env", "-i", "PATH=/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG=C.UTF-8"]
        done = subprocess.run(
            [*entered, *clean, *command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=timeout_s,
        )
        printed = done.stdout.decode(errors="replace").strip()
        assert not check or done.returncode == 0, f"{' '.join(command)}: {printed}"
        return printed

    def path(self, inside: str | Path) -> Path:
        """The path outside of a file in the running box, including sockets and /proc."""
        return Path(f"/proc/{self._init}/root") / str(inside).lstrip("/")

    def state(self, unit: str = "edgeser") -> dict[str, str]:
        """Some properties of a unit: ``ActiveState``, ``StatusText``, ``MainPID``, …"""
        names = (
            "ActiveState,SubState,Result,StatusText,StatusErrno,MainPID,NRestarts,ExecMainStatus"
        )
        lines = self.run("systemctl", "show", unit, f"--property={names}").splitlines()
        return dict(line.split("=", 1) for line in lines)

    def wait_for(self, pattern: str, unit: str = "edgeser", timeout_s: float = _ENOUGH_S) -> None:
        """Wait until ``Name=value`` lines of the unit's state match."""
        deadline = time.monotonic() + timeout_s
        while True:
            lines = "\n".join(f"{name}={value}" for name, value in self.state(unit).items())
            if re.search(pattern, lines):
                return
            assert time.monotonic() < deadline, f"no {pattern}; {lines}; {self.journal(unit)}"
            time.sleep(0.2)

    def journal(self, unit: str = "edgeser") -> str:
        """The last lines that the unit and systemd logged about it."""
        self.run("journalctl", "--sync")  # otherwise the last lines may not be written yet
        return self.run("journalctl", "--no-pager", "-o", "cat", "-n", "300", "-u", unit)

    def drop_in(self, name: str, text: str, unit: str = "edgeser.service") -> None:
        """Add settings to a unit."""
        file = self.path(f"/etc/systemd/system/{unit}.d/{name}.conf")
        file.parent.mkdir(exist_ok=True)
        file.write_text(text)
        self.run("systemctl", "daemon-reload")

    def undo(self) -> None:
        """Stop the services and remove their drop-ins."""
        units = (
            "edgeser-mqtt.service",
            "edgeser-nats.service",
            "edgeser-lake.service",
            "edgeser.service",
            "edgeser@*.service",
        )
        self.run("systemctl", "stop", *units, check=False)
        for folder in self.path("/etc/systemd/system").glob("edgeser*.d"):
            shutil.rmtree(folder)
        self.run("systemctl", "daemon-reload")
        self.run("systemctl", "reset-failed", check=False)

    def end(self) -> None:
        """Switch the box off and remove it."""
        if self._nspawn is not None:
            if self._init:
                os.kill(self._init, signal.SIGRTMIN + 4)  # systemd: power off
            try:
                self._nspawn.wait(15)
            except subprocess.TimeoutExpired:
                self._nspawn.kill()
                self._nspawn.wait()
        for mount in (self.root, self._layers):
            subprocess.run(["umount", "--lazy", str(mount)], capture_output=True)
        if not self.root.is_mount():
            shutil.rmtree(self._folder, ignore_errors=True)


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise CannotRunError(f"{' '.join(command)}: {done.stdout}{done.stderr}")


@pytest.fixture(scope="session")
def installed_box() -> Iterator[Box]:
    """The one box of this test session. It shares the network, from which ``pip`` installs."""
    if reason := why_unavailable():
        pytest.skip(reason)
    box = Box()
    try:
        try:
            box.prepare()
            box.boot()
        except CannotRunError as error:
            pytest.skip(f"this machine allows no box: {error}")
        box.install()
        yield box
    finally:
        box.end()


@pytest.fixture
def box(installed_box: Box) -> Iterator[Box]:
    """A booted box with edgeser installed and not running."""
    installed_box.install()
    yield installed_box
    installed_box.undo()
