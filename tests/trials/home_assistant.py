"""A real Home Assistant, a real broker, a real bridge: do the entities appear, change and go?

python tests/trials/home_assistant.py [--root FOLDER]

Makes a Debian trixie (debootstrap; Home Assistant wants Python 3.13) in FOLDER, installs the newest
``homeassistant`` that pip finds for it, and starts it with its MQTT integration set to a mosquitto
of ours. Needs root and the network; the first time takes a quarter of an hour and 1.5 GB. Exit code
1 if an entity does not do what it should.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

sys.path.insert(0, str(Path(__file__).parents[2]))

from benchmarks import script
from edgeser.events.journal.journal import JournalPlace
from edgeser.events.publish.publisher import Publisher
from tests.bridges.mosquitto import OPEN, Mosquitto
from tests.events.helpers import emotion, speech, status

PACKAGES = "python3,python3-venv,python3-dev,gcc,g++,make,ca-certificates,libffi-dev,libssl-dev"
NEEDED = ("homeassistant", "paho-mqtt==2.1.0")
LABELS = ["angry", "happy", "neutral", "sad"]
PATIENCE_S = 600.0
SUBSCRIBED = re.compile(r" ([012]) (edgeser/\S+)")
"""In mosquitto's log: QoS and topic."""

INSIDE = """
import asyncio, json, sys
from pathlib import Path
from homeassistant import auth, bootstrap, core, loader
from homeassistant.config_entries import ConfigEntries
from homeassistant.setup import async_setup_component

async def main(folder, out):
    hass = core.HomeAssistant(folder)
    loader.async_setup(hass)
    hass.config.skip_pip = True
    hass.config_entries = ConfigEntries(hass, {})
    await bootstrap.async_load_base_functionality(hass)
    hass.auth = await auth.auth_manager_from_config(hass, [{"type": "homeassistant"}], [])
    config = {"http": {"server_host": ["127.0.0.1"], "server_port": 38123}}
    for component in ("homeassistant", "http", "mqtt"):
        if not await async_setup_component(hass, component, config):
            sys.exit(f"{component} cannot be set up")
    fired = []

    def heed(event):  # as an automation on the event entity does
        old, new = event.data["old_state"], event.data["new_state"]
        if new and new.domain == "event" and "seq" in new.attributes:
            if old is None or (old.state != "unavailable" and old.state != new.state):
                fired.append(new.attributes["seq"])

    hass.bus.async_listen("state_changed", heed)
    await hass.async_start()
    while True:
        states = {s.entity_id: {"state": s.state, "attributes": dict(s.attributes)}
                  for s in hass.states.async_all()}
        states["fired"] = {"state": "", "attributes": {"seqs": fired}}
        aside = Path(out + ".new")
        aside.write_text(json.dumps(states, default=str))
        aside.replace(out)
        await asyncio.sleep(0.5)

asyncio.run(main(*sys.argv[1:]))
"""
"""What runs in the chroot: Home Assistant's own core with its MQTT integration and no other."""

States = dict[str, dict[str, Any]]


def main() -> None:
    parser = script.parser_of(__doc__)
    parser.add_argument("--root", type=Path, default=Path("runs/home-assistant"))
    root: Path = parser.parse_args().root.absolute()
    prepare(root)
    asked = "import homeassistant.const as c; print('Home Assistant', c.__version__)"
    subprocess.run(["chroot", str(root), "/opt/ha/bin/python", "-c", asked], check=True)
    with tempfile.TemporaryDirectory(prefix="edgeser-") as folder:
        check(root, Path(folder))
    print("every entity did what it should")


def prepare(root: Path) -> None:
    """Debian trixie with Home Assistant in /opt/ha, unless it is there."""
    if not (root / "bin").exists():
        subprocess.run(
            ["debootstrap", "--variant=minbase", f"--include={PACKAGES}", "trixie", str(root)],
            check=True,
        )
        shutil.copy("/etc/resolv.conf", root / "etc/resolv.conf")
        shutil.copy("/etc/ssl/certs/ca-certificates.crt", root / "etc/ssl/certs")
    if not (root / "opt/ha/bin/hass").exists():
        chroot = ["chroot", str(root)]
        subprocess.run([*chroot, "python3", "-m", "venv", "/opt/ha"], check=True)
        subprocess.run([*chroot, "/opt/ha/bin/pip", "install", "-q", *NEEDED], check=True)


def check(root: Path, folder: Path) -> None:
    broker = Mosquitto(folder / "mosquitto", OPEN + "log_type subscribe\n")
    broker.start()
    config = root / "srv" / f"config-{secrets.token_hex(4)}"
    states = configure(config, broker.port)
    inside = Path("/") / config.relative_to(root)
    log = (config / "hass.log").open("wb")
    environment = {
        **os.environ,
        "PATH": "/opt/ha/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "HOME": "/root",
    }
    hass = subprocess.Popen(
        [
            *("chroot", str(root), "/opt/ha/bin/python", str(inside / "inside.py")),
            *(str(inside), str(inside / "states.json")),
        ],
        env=environment,
        stdout=log,
        stderr=log,
    )
    endpoint = f"ipc://{folder}/events.sock"
    bridge = None
    try:
        with Publisher([endpoint], journal=JournalPlace(folder / "journal.db")) as publisher:
            bridge = subprocess.Popen(
                [
                    *(sys.executable, "-m", "edgeser", "bridge", "mqtt", broker.address),
                    *("--node", "pi", "--connect", endpoint, "--cursor", str(folder / "cursor")),
                ]
            )

            labels = LABELS

            def wait_for(what: str, holds: Callable[[States], bool]) -> None:
                deadline = time.monotonic() + PATIENCE_S
                told: States = {}
                while time.monotonic() < deadline:
                    publisher.publish(msgspec.structs.replace(status(), labels=labels))
                    if states.exists():
                        told = json.loads(states.read_text())
                        if holds(told):
                            print(f"ok  {what}", flush=True)
                            return
                    if hass.poll() is not None:
                        break
                    time.sleep(0.5)
                text = (config / "hass.log").read_text()[-3000:]
                raise SystemExit(f"{what}: did not happen; {sorted(told)}; {text}")

            wait_for(
                "entities appear",
                lambda told: (
                    {
                        "sensor.pi_mic_emotion",
                        "sensor.pi_mic_confidence",
                        "sensor.pi_mic_valence",
                        "sensor.pi_mic_arousal",
                        "binary_sensor.pi_mic_speech",
                        "binary_sensor.pi_mic_problem",
                        "binary_sensor.pi_mic_muted",
                        "event.pi_mic_remark",
                    }
                    <= set(told)
                ),
            )
            wait_for(
                "their topics are subscribed to with QoS 1",
                lambda _: (
                    {
                        (qos, topic.rpartition("/")[2])
                        for qos, topic in SUBSCRIBED.findall((folder / "mosquitto/log").read_text())
                    }
                    == {("1", "availability"), ("1", "state"), ("1", "final"), ("1", "cursor")}
                ),
            )
            wait_for(
                "they are available", lambda t: t["binary_sensor.pi_mic_speech"]["state"] == "off"
            )
            publisher.publish(speech())
            publisher.publish(emotion())
            wait_for(
                "the emotion changes", lambda t: t["sensor.pi_mic_emotion"]["state"] == "happy"
            )
            wait_for(
                "the confidence is there",
                lambda t: t["sensor.pi_mic_confidence"]["state"] == "85.0",
            )
            wait_for(
                "the remark is an event of its label",
                lambda t: t["event.pi_mic_remark"]["attributes"].get("event_type") == "happy",
            )
            # Home Assistant is back at the broker before the bridge, which tells everything again.
            bridge.send_signal(signal.SIGSTOP)
            broker.kill()
            wait_for(
                "without the broker they are unavailable",
                lambda t: t["event.pi_mic_remark"]["state"] == "unavailable",
            )
            broker.start()
            wait_for(
                "Home Assistant is back",
                lambda t: t["event.pi_mic_remark"]["state"] != "unavailable",
            )
            bridge.send_signal(signal.SIGCONT)
            publisher.publish(emotion(label="sad"))
            wait_for(
                "the next remark comes",
                lambda t: t["event.pi_mic_remark"]["attributes"].get("event_type") == "sad",
            )
            wait_for("no remark fires twice", lambda t: t["fired"]["attributes"]["seqs"] == [1, 2])
            labels = [*LABELS, "motherese"]
            wait_for(
                "a model without valence and arousal has none",
                lambda t: not {"sensor.pi_mic_valence", "sensor.pi_mic_arousal"} & set(t),
            )
            bridge.kill()
            bridge.wait()
            wait_for(
                "without the bridge they are unavailable",
                lambda t: all(t[name]["state"] == "unavailable" for name in t if "pi_mic" in name),
            )
    finally:
        for process in (bridge, hass):
            if process is not None:
                process.kill()
                process.wait()
        broker.kill()
        shutil.rmtree(config, ignore_errors=True)


def configure(config: Path, port: int) -> Path:
    """A configuration whose only integration is MQTT; returns where the states will be written."""
    storage = config / ".storage"
    storage.mkdir(parents=True)
    (config / "configuration.yaml").write_text("homeassistant:\n  name: edgeser\n")
    (config / "inside.py").write_text(INSIDE)
    entry = {
        "created_at": "2026-01-01T00:00:00+00:00",
        "modified_at": "2026-01-01T00:00:00+00:00",
        "data": {"broker": "127.0.0.1", "port": port, "protocol": "5"},
        "disabled_by": None,
        "discovery_keys": {},
        "domain": "mqtt",
        "entry_id": secrets.token_hex(16),
        "minor_version": 2,
        "options": {"discovery": True, "discovery_prefix": "homeassistant"},
        "pref_disable_new_entities": False,
        "pref_disable_polling": False,
        "source": "user",
        "subentries": [],
        "title": "mosquitto",
        "unique_id": None,
        "version": 1,
    }
    stored = {
        "version": 1,
        "minor_version": 5,
        "key": "core.config_entries",
        "data": {"entries": [entry]},
    }
    (storage / "core.config_entries").write_text(json.dumps(stored))
    return config / "states.json"


if __name__ == "__main__":
    script.run(main)
