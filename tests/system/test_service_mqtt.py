"""The MQTT bridge as a service, in a real systemd and with a real broker."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from edgeser.events.schema import decode
from tests.bridges.mosquitto import Consumer, Mosquitto
from tests.system.box import Box
from tests.system.bridged import SETTINGS, hears_remarks

BRIDGE = "edgeser-mqtt"
PASSWORD = "/etc/edgeser/mqtt.password"


@pytest.fixture
def broker(box: Box, tmp_path: Path) -> Iterator[Mosquitto]:
    """A broker that the box reaches on its loopback; the service is set to use it."""
    broker = Mosquitto(tmp_path / "mosquitto")
    broker.start()
    hears_remarks(box, f'[mqtt]\nbroker = "{broker.address}"\nnode = "box"\n')
    yield broker
    broker.kill()


def test_it_hands_events_on_and_waits_for_a_broker_that_is_away(
    box: Box, broker: Mosquitto
) -> None:
    consumer = Consumer(broker.port)
    try:
        box.run("systemctl", "start", "edgeser", BRIDGE)
        box.wait_for(r"StatusText=connected, \d+ events handed over", BRIDGE)
        assert decode(consumer.wait_for("edgeser/box/hall/final")).stream == "hall"
        broker.kill()
        box.wait_for(r"StatusText=waits: broker 127\.0\.0\.1:\d+", BRIDGE)
        assert box.state(BRIDGE)["ActiveState"] == "active"
        broker.start()
        box.wait_for("StatusText=connected", BRIDGE)
    finally:
        consumer.close()
    box.run("systemctl", "stop", BRIDGE)
    state = box.state(BRIDGE)
    assert (state["ActiveState"], state["Result"]) == ("inactive", "success")
    assert "Traceback" not in box.journal(BRIDGE)


def test_the_doctor_knows_it(box: Box, broker: Mosquitto) -> None:
    def findings() -> dict[str, tuple[bool, str]]:
        lines = box.run("edgeser", "doctor", "--service", BRIDGE, "--json", check=False)
        found = [json.loads(line) for line in lines.splitlines()]
        return {f["check"]: (f["ok"], f["found"] + f["fix"]) for f in found}

    box.run("systemctl", "start", BRIDGE)
    box.wait_for("StatusText=connected, .*; daemon: nothing publishes there yet", BRIDGE)
    ok, said = findings()["activity"]
    assert not ok, said
    assert "'edgeser doctor --service'" in said
    box.run("systemctl", "start", "edgeser")
    box.run("systemctl", "enable", BRIDGE)
    box.wait_for(r"(?m)StatusText=connected, \d+ events handed over, \d+ in flight$", BRIDGE)
    well = findings()
    assert all(ok for ok, _ in well.values()), well
    assert "exposure 1." in well["sandbox"][1]
    secret = box.path(PASSWORD)
    secret.write_text("secret\n")
    secret.chmod(0o644)
    settings = box.path(SETTINGS)
    settings.write_text(f'{settings.read_text()}user = "u"\npassword_file = "{PASSWORD}"\n')
    assert findings()["password"] == (
        False,
        f"{PASSWORD}: everybody may read it"
        f"sudo chown edgeser: {PASSWORD}; sudo chmod 600 {PASSWORD}",
    )
    secret.unlink()
    box.run("systemctl", "disable", BRIDGE)
    broker.kill()
    box.wait_for("StatusText=waits: broker", BRIDGE)
    ok, said = findings()["activity"]
    assert not ok, said
    assert "active; waits: broker" in said
    assert "systemctl start" not in said


def test_without_a_broker_it_says_so_once(box: Box) -> None:
    box.path(SETTINGS).write_text("")
    box.run("systemctl", "start", BRIDGE, check=False)
    box.wait_for("ActiveState=failed", BRIDGE)
    assert box.state(BRIDGE)["ExecMainStatus"] == "2"
    assert "mqtt.broker: no broker is named" in box.journal(BRIDGE)
