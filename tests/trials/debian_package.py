"""The Debian package in a real systemd: installed, upgraded, downgraded, removed and purged.

python tests/trials/debian_package.py dist/edgeser_0.1.0-1~deb12_amd64.deb

The package before it is the same with an older version and other default settings. Two daemons and
both bridges run while packages change, with settings of their own, a mosquitto and a nats-server.
Needs root, as the tests in tests/system do.
Exit code 1, with a traceback, where something is not as it should be.
"""

from __future__ import annotations

import asyncio
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

import nats
import numpy as np
import soundfile

from benchmarks import script
from edgeser.bridges.nats.subjects import STORED
from edgeser.cli import COMMANDS
from edgeser.model.golden import waveform
from tests.bridges.mosquitto import Mosquitto
from tests.bridges.nats_server import NatsServer
from tests.sounds import silence
from tests.system.box import CHECKOUT, SHARED, Box, why_unavailable

BRIDGES = ("edgeser-mqtt", "edgeser-nats")
SERVICES = ("edgeser", "edgeser@kitchen", *BRIDGES)
UNITS = sorted(file.name for file in (CHECKOUT / "systemd").glob("*.service"))
SETTINGS = "/etc/edgeser/edgeser.toml"
KEYS = "/etc/edgeser/keys"
PLACE = "/usr/lib/systemd/system"
COMPLETIONS = (
    "bash-completion/completions/edgeser",
    "fish/vendor_completions.d/edgeser.fish",
    "zsh/vendor-completions/_edgeser",
)
PATIENCE_S = 300.0
JOURNAL = "/var/lib/edgeser/journal.db"
OLDER = "0.0.9-1~deb12"
OPTIONS = ("-o", "Dpkg::Options::=--force-confold", "-o", "Dpkg::Use-Pty=0")


def older(package: Path, folder: Path) -> Path:
    """The package as a version before it, with one line of its settings changed."""
    tree = folder / "older"
    subprocess.run(["dpkg-deb", "-R", package, tree], check=True)
    control = tree / "DEBIAN/control"
    lines = control.read_text().splitlines()
    lines = [f"Version: {OLDER}" if line.startswith("Version:") else line for line in lines]
    control.write_text("\n".join(lines) + "\n")
    settings = tree / SETTINGS.lstrip("/")
    settings.write_text(settings.read_text() + "# the defaults of an older version\n")
    file = folder / "edgeser-older.deb"
    subprocess.run(["dpkg-deb", "--root-owner-group", "-Znone", "-b", tree, file], check=True)
    shutil.rmtree(tree)
    return file


async def make_stream(url: str) -> None:
    """A stream as of `edgeser lake fill`, without a lake."""
    client = await nats.connect(url)
    await client.jetstream().add_stream(name="EDGESER", subjects=list(STORED))
    await client.close()


class Trial:
    """A box, the servers that its bridges reach, and what is expected of it after each step."""

    def __init__(self, box: Box, broker: Mosquitto, server: NatsServer) -> None:
        self.box = box
        self.broker = broker
        self.server = server

    def apt(self, *arguments: str) -> str:
        return self.box.run(
            *("env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-y", "-q"),
            *("--no-install-recommends", "--allow-downgrades", *OPTIONS, *arguments),
            timeout_s=900,
        )

    def version(self) -> str:
        return self.box.run("dpkg-query", "-W", "-f", "${Version}", "edgeser")

    def pids(self) -> list[str]:
        return [self.box.state(unit)["MainPID"] for unit in SERVICES]

    def active(self) -> list[str]:
        return [self.box.state(unit)["ActiveState"] for unit in SERVICES]

    def kept(self) -> int:
        """How many events the journal of the first daemon holds; it is written twice a second."""
        return len(self.box.run("edgeser", "events", "--journal", JOURNAL, "--json").splitlines())

    def wait_until_heard(self, before: int) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while not self.box.path(JOURNAL).exists() or self.kept() <= before:
            assert time.monotonic() < deadline, self.box.journal()
            time.sleep(0.5)

    def installed(self, package: str) -> None:
        """Nothing runs and nothing is enabled; all is in its place."""
        self.apt("install", package)
        assert self.active() == ["inactive"] * len(SERVICES)
        enabled = self.box.run("systemctl", "is-enabled", *UNITS, check=False)
        assert enabled.split() == ["disabled"] * len(UNITS)
        assert not set(UNITS) ^ {file.name for file in self.box.path(PLACE).glob("edgeser*")}
        for unit in UNITS:
            file = f"{PLACE}/{unit.replace('@.', '@kitchen.')}"
            said = self.box.run("systemd-analyze", "verify", file, check=False)
            assert "edgeser" not in said, said  # it verifies what they depend on, too
        listed = self.box.run("dpkg-query", "-W", "-f", "${Conffiles}", "edgeser")
        assert [line.split()[0] for line in listed.splitlines()] == [SETTINGS]
        keys = self.box.run("stat", "-c", "%U %G %a", KEYS)
        assert keys == "edgeser edgeser 700"
        assert "audio" in self.box.run("id", "-nG", "edgeser")
        assert self.box.run("edgeser", "--version").startswith("edgeser")
        manual = self.box.run("zcat", "/usr/share/man/man1/edgeser.1.gz")
        assert all(f"edgeser {name}" in manual for name in COMMANDS)
        for place in COMPLETIONS:
            assert "_edgeser_completion" in self.box.run("cat", f"/usr/share/{place}"), place
        assert self.box.run("dpkg", "--verify", "edgeser") == ""

    def started(self) -> None:
        """Two daemons with settings of the user's own, and the bridges of the first."""
        remark = np.concatenate((waveform(1, 0.7), silence(0.8)))
        soundfile.write(self.box.shared / "talk.flac", np.tile(remark, 1200), 16_000)
        self.write_settings()
        self.box.run("systemctl", "enable", "--now", *SERVICES)
        self.run_well(0)
        findings = self.box.run("edgeser", "doctor", "--service", check=False)
        assert "exposure 1." in findings, findings

    def write_settings(self) -> None:
        for name, stream in (("edgeser", "hall"), ("kitchen", "kitchen")):
            self.box.path(f"/etc/edgeser/{name}.toml").write_text(
                f'[audio]\nsource = "{SHARED}/talk.flac"\nstream = "{stream}"\n'
                f'[mqtt]\nbroker = "{self.broker.address}"\n[nats]\nserver = "{self.server.url}"\n'
            )

    def run_well(self, before: int) -> None:
        """All are active, more than ``before`` events were heard, and both bridges hand over."""
        logs = [self.box.journal(unit)[-1500:] for unit in SERVICES]
        assert self.active() == ["active"] * len(SERVICES), "\n".join(logs)
        self.wait_until_heard(before)
        for bridge in BRIDGES:
            self.box.wait_for(r"StatusText=connected, [1-9]\d* events", bridge, PATIENCE_S)

    def changed(self, package: str, version: str) -> None:
        """Another version takes over: all run again, with their settings and history."""
        pids, before, settings = self.pids(), self.kept(), self.box.path(SETTINGS).read_text()
        self.apt("install", package)
        assert self.version() == version
        self.run_well(before)
        assert not set(pids) & set(self.pids())
        assert self.box.path(SETTINGS).read_text() == settings
        enabled = self.box.run("systemctl", "is-enabled", *SERVICES)
        assert enabled.split() == ["enabled"] * len(SERVICES)

    def stopped_stays_stopped(self, package: str) -> None:
        self.box.run("systemctl", "stop", "edgeser@kitchen", "edgeser-nats")
        self.apt("install", "--reinstall", package)
        assert self.active() == ["active", "inactive", "active", "inactive"]

    def removed(self) -> int:
        """The program is gone, settings and history are not. Returns how much history."""
        before = self.kept()
        self.apt("remove", "edgeser")
        assert not self.box.path("/opt/edgeser").exists()
        assert not self.box.path("/run/edgeser").exists()
        assert self.box.run("pgrep", "-u", "edgeser", check=False) == ""
        assert self.box.path(SETTINGS).exists()
        assert self.box.path(JOURNAL).exists()
        return before

    def back(self, package: str, before: int) -> None:
        """Installed again: enabled as before, so it runs after the next boot."""
        self.apt("install", package)
        self.box.run("systemctl", "start", "edgeser")
        self.wait_until_heard(before)

    def purged(self) -> None:
        """Nothing is left but the locked account."""
        self.apt("purge", "edgeser")
        left = self.box.run(
            *("find", "/etc", "/opt", "/run", "/usr", "/var/lib", "/var/cache"),
            *("-name", "*edgeser*", "-not", "-path", "/usr/local/*"),
            check=False,
        )
        assert left == "", left
        account = self.box.run("getent", "shadow", "edgeser").split(":")
        assert account[1].startswith("!")
        assert "could not be found" in self.box.run("systemctl", "status", "edgeser", check=False)

    def purged_later(self, package: str) -> None:
        """Removed, and purged when `make install-service` has taken over: its data stay."""
        self.apt("install", package)
        self.apt("remove", "edgeser")
        self.box.install()
        self.box.run("edgeser", "keys", "new", "server", "--keys", KEYS)
        journal = self.box.path(JOURNAL)
        journal.parent.mkdir(exist_ok=True)
        journal.touch()
        kept = self.settings_and_keys()
        self.apt("purge", "edgeser")
        gone = set(kept) - set(self.settings_and_keys())
        assert all(line.endswith(SETTINGS) for line in gone), gone
        assert journal.exists()
        self.box.run("make", "-C", "/srv/checkout", "uninstall-service")

    def follows_another_installation(self, package: str) -> None:
        """What `make install-service` made is not overwritten; removed as the package's message
        says, its settings, keys and history are the package's.
        """
        self.box.install()
        self.write_settings()
        self.box.run("edgeser", "keys", "new", "server", "--keys", KEYS)
        self.box.run("systemctl", "enable", "--now", "edgeser")
        self.wait_until_heard(0)
        printed = self.box.run("dpkg", "-i", package, check=False)
        assert "sudo make uninstall-service KEEP_STATE=1" in printed, printed
        assert self.box.state()["ActiveState"] == "active"
        before, kept = self.kept(), self.settings_and_keys()
        self.box.run("make", "-C", "/srv/checkout", "uninstall-service", "KEEP_STATE=1")
        assert not self.box.path("/opt/edgeser").exists()
        assert self.settings_and_keys() == kept
        self.apt("install", package)
        # dpkg leaves the package's own settings beside those that it keeps.
        changed = set(kept) - set(self.settings_and_keys())
        assert not changed, changed
        self.box.run("systemctl", "enable", "--now", "edgeser")
        self.wait_until_heard(before)

    def settings_and_keys(self) -> list[str]:
        """Owner, rights, name and digest of each file in /etc/edgeser."""
        listed = self.box.run("find", "/etc/edgeser", "-type", "f", "-printf", "%u %m %p\n")
        names = [line.rsplit(" ", 1)[1] for line in listed.splitlines()]
        return sorted([*listed.splitlines(), *self.box.run("sha256sum", *names).splitlines()])


def run(package: Path, folder: Path) -> None:
    """Every step in turn, each said when it is done."""
    box, broker = Box(), Mosquitto(folder / "mosquitto")
    server = NatsServer(folder / "nats")
    try:
        broker.start()
        server.start()
        asyncio.run(make_stream(server.url))
        box.prepare()
        # Images of containers have one that forbids what a machine allows.
        (box.root / "usr/sbin/policy-rc.d").unlink(missing_ok=True)
        box.boot()
        shutil.copy(package, box.shared / "new.deb")
        shutil.copy(older(package, folder), box.shared / "old.deb")
        old, new = str(SHARED / "old.deb"), str(SHARED / "new.deb")
        newer = subprocess.run(
            ["dpkg-deb", "-f", package, "Version"], check=True, capture_output=True, text=True
        ).stdout.strip()
        trial = Trial(box, broker, server)
        trial.apt("update")
        trial.installed(old)
        print("installed: neither started nor enabled", flush=True)
        trial.started()
        trial.changed(new, newer)
        print(
            "upgraded: two daemons and two bridges restarted, settings and history kept", flush=True
        )
        trial.changed(old, OLDER)
        print("downgraded: the same", flush=True)
        trial.changed(new, newer)
        trial.stopped_stays_stopped(new)
        print("a daemon that was stopped is not started", flush=True)
        history = trial.removed()
        print("removed: settings and history kept", flush=True)
        trial.back(new, history)
        print("installed again: enabled and with its history", flush=True)
        trial.purged()
        print("purged: nothing left but the locked account", flush=True)
        trial.purged_later(new)
        print("purged later: what 'make install-service' goes on with stays", flush=True)
        trial.follows_another_installation(new)
        print("'make install-service' is not overwritten, and its history goes on", flush=True)
    finally:
        box.end()
        server.kill()
        broker.kill()


def main() -> None:
    parser = script.parser_of(__doc__)
    parser.add_argument("package", type=Path)
    package: Path = parser.parse_args().package
    if reason := why_unavailable():
        sys.exit(f"edgeser: {reason}")
    with tempfile.TemporaryDirectory(prefix="edgeser-") as folder:
        run(package, Path(folder))


if __name__ == "__main__":
    main()
