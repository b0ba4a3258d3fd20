"""The container's image, run as its configuration says: what it hears comes out of it.

python tests/trials/container_image.py dist/edgeser-0.1.0-amd64.tar

A daemon, a listener and the MQTT bridge run as three containers of the image, which share the
folders that compose.yaml shares, with a real mosquitto. Each has a root that is read-only, the
image's user, and no capability. systemd-nspawn runs them, as root: it takes namespaces and mounts,
but no cgroups of its own as other runtimes do. Exit code 1, with a traceback, where something is
not as it should be.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))

from benchmarks import script
from edgeser.bench import SPEECH_FILE
from tests.bridges.mosquitto import Consumer, Mosquitto

PATIENCE_S = 300.0
FINALS = 5
"""In the bundled sound."""


class Image:
    """An image that is unpacked. ``root``: its files; ``config``: how it wants to be run."""

    def __init__(self, archive: Path, folder: Path) -> None:
        (folder / "image").mkdir()
        subprocess.run(["tar", "-xf", archive, "-C", folder / "image"], check=True)
        (manifest,) = json.loads((folder / "image/manifest.json").read_text())
        self.config: dict[str, Any] = json.loads(
            (folder / "image" / manifest["Config"]).read_text()
        )["config"]
        self.root = folder / "root"
        self.root.mkdir()
        for layer in manifest["Layers"]:
            subprocess.run(["tar", "-xf", folder / "image" / layer, "-C", self.root], check=True)
        shutil.rmtree(folder / "image")
        self.volumes = {path: folder / path.strip("/").replace("/", "-") for path in self._paths()}
        user, group = map(int, self.config["User"].split(":"))
        for place in self.volumes.values():
            place.mkdir()
            os.chown(place, user, group)

    def _paths(self) -> list[str]:
        return [*self.config["Volumes"], "/var/lib/edgeser-mqtt"]

    def run(self, name: str, *arguments: str, network: bool = False) -> subprocess.Popen[str]:
        """A container: the image's entrypoint with these arguments, or with its own."""
        account = "edgeser"
        variables = [f"--setenv={variable}" for variable in self.config["Env"]]
        volumes = [f"--bind={there}:{path}" for path, there in self.volumes.items()]
        return subprocess.Popen(
            [
                *("systemd-nspawn", "--quiet", "--keep-unit", "--register=no", "--as-pid2"),
                *("--directory", str(self.root), "--read-only", "--machine", name),
                *("--user", account, "--drop-capability=all", "--no-new-privileges=yes"),
                *([] if network else ["--private-network"]),
                *("--console=pipe", *variables, *volumes, "--"),
                *self.config["Entrypoint"],
                *(arguments or self.config["Cmd"]),
            ],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            text=True,
        )


def inside(container: subprocess.Popen[str], *command: str) -> subprocess.CompletedProcess[str]:
    """Run a command in the namespaces of a container's program, as the image's user."""
    pid = _program(container)
    status = Path(f"/proc/{pid}/status").read_text()
    facts = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
    assert facts["CapEff"].strip("0") == "", facts["CapEff"]
    assert facts["NoNewPrivs"] == "1"
    user = facts["Uid"].split()[0]
    return subprocess.run(
        ["nsenter", "-t", str(pid), "-m", "-n", "-p", "-r", "-S", user, "-G", user, "--", *command],
        capture_output=True,
        text=True,
    )


def _descendants(pid: int) -> list[int]:
    """Children, the first of them, its first, and so on."""
    found: list[int] = []
    while children := Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
        pid = int(children[-1])
        found.append(pid)
    return found


def _program(container: subprocess.Popen[str]) -> int:
    """The container's program, 0 until it is there: nspawn's own processes come first, as root."""
    for pid in _descendants(container.pid):
        if Path(os.readlink(f"/proc/{pid}/exe")).name.startswith("python"):
            return pid
    return 0


def check(image: Image, folder: Path) -> None:
    """Every step, each said when it is done."""
    config = image.config
    assert config["User"] not in ("", "0", "root"), config["User"]
    assert config["Healthcheck"]["Test"][0] == "CMD", config["Healthcheck"]
    sound = f"/opt/edgeser/lib/python3.11/site-packages/edgeser/bench/{SPEECH_FILE.name}"
    broker = Mosquitto(folder / "mosquitto")
    broker.start()
    consumer = Consumer(broker.port)
    listener = image.run("listener", "listen", "--json")
    bridge = image.run(
        "bridge", "bridge", "mqtt", broker.address, "--node", "container", network=True
    )
    daemon = image.run(
        "daemon",
        *("run", "--settings", "/etc/edgeser/edgeser.toml", "--source", sound),
        "--await-subscriber",
    )
    try:
        asked = _until_well(daemon)
        print(f"the health check says: {asked}", flush=True)
        for place in ("/", "/opt/edgeser", "/etc/edgeser", "/usr", "/var/lib"):
            tried = inside(daemon, "touch", f"{place}/written")
            assert "Read-only file system" in tried.stderr, (place, tried)
        print("its root is read-only, its user has no capability", flush=True)
        finals = []
        assert listener.stdout is not None
        for line in listener.stdout:
            event = json.loads(line)
            if event["type"] == "emotion" and event["kind"] == "final":
                finals.append(event)
                print(f"final: {event['label']} {event['confidence']:.2f}", flush=True)
            if len(finals) == FINALS:
                break
        handed = json.loads(consumer.wait_for("edgeser/container/file/final"))
        assert handed["label"] in {final["label"] for final in finals}
        print("the bridge's container handed them to the broker", flush=True)
        assert (image.volumes["/var/lib/edgeser"] / "journal.db").exists()
    finally:
        for container in (listener, bridge, daemon):
            for pid in reversed(_descendants(container.pid)):
                os.kill(pid, 15)
                break
            try:
                container.wait(20)
            except subprocess.TimeoutExpired:
                container.kill()
                container.wait()
        consumer.close()
        broker.kill()


def _until_well(daemon: subprocess.Popen[str]) -> str:
    """Wait until the health check passes; return what it prints."""
    deadline = time.monotonic() + PATIENCE_S
    while True:
        assert daemon.poll() is None, "the daemon has ended"
        asked = inside(daemon, "/opt/edgeser/bin/healthcheck") if _program(daemon) else None
        if asked is not None and asked.returncode == 0:
            return asked.stdout.strip()
        assert time.monotonic() < deadline, asked
        time.sleep(0.5)


def main() -> None:
    parser = script.parser_of(__doc__)
    parser.add_argument("archive", type=Path)
    archive: Path = parser.parse_args().archive
    if os.geteuid() != 0:
        sys.exit("edgeser: containers need root here")
    with tempfile.TemporaryDirectory(prefix="edgeser-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        check(Image(archive, folder), folder)


if __name__ == "__main__":
    main()
