"""The NATS bridge and the lake as services, in a real systemd and with a real nats-server."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.bridges.commands import until
from tests.bridges.nats_server import NatsServer
from tests.system.box import Box
from tests.system.bridged import hears_remarks

BRIDGE, LAKE = "edgeser-nats", "edgeser-lake"


@pytest.fixture
def server(box: Box, tmp_path: Path) -> Iterator[NatsServer]:
    """A server that the box reaches on its loopback; both services are set to use it."""
    server = NatsServer(tmp_path / "nats")
    server.start()
    tables = (f"[nats]\nsite = 'lab'\ndevice = 'box'\nserver = '{server.url}'\n",)
    tables += (f"[lake]\nserver = '{server.url}'\nevery_seconds = 1\n",)
    hears_remarks(box, "".join(tables))
    yield server
    server.kill()


def test_events_go_from_the_service_into_tables_and_a_server_that_is_away_is_waited_for(
    box: Box, server: NatsServer
) -> None:
    box.run("systemctl", "start", LAKE, BRIDGE, "edgeser")
    box.wait_for(r"StatusText=connected, [1-9]\d* events handed over", BRIDGE)
    box.wait_for(r"StatusText=connected, [1-9]\d* rows written", LAKE)
    folder = f"/var/lib/{LAKE}/lake"
    asked = ("edgeser", "lake", "ask", folder, "SELECT DISTINCT device, stream FROM finals")
    until(lambda: box.run(*asked, "--json"))  # what was written first may be a speech event
    assert json.loads(box.run(*asked, "--json")) == {"device": "box", "stream": "hall"}
    server.kill()
    for unit in (BRIDGE, LAKE):
        box.wait_for("StatusText=waits: NATS server", unit)
        assert box.state(unit)["ActiveState"] == "active"
    server.start()
    for unit in (BRIDGE, LAKE):
        box.wait_for("StatusText=connected", unit)
    box.run("systemctl", "stop", BRIDGE, LAKE)
    for unit in (BRIDGE, LAKE):
        state = box.state(unit)
        assert (state["ActiveState"], state["Result"]) == ("inactive", "success")
        assert "Traceback" not in box.journal(unit)


def test_the_doctor_knows_both(box: Box, server: NatsServer) -> None:
    box.run("systemctl", "start", "edgeser")
    for unit in (LAKE, BRIDGE):  # the lake makes the stream that the bridge publishes to
        box.run("systemctl", "enable", "--now", unit)
        box.wait_for(r"(?m)StatusText=connected, \d+ (events|rows) [^;\n]*$", unit)
        lines = box.run("edgeser", "doctor", "--service", unit, "--json", check=False)
        found = {finding["check"]: finding for finding in map(json.loads, lines.splitlines())}
        assert all(finding["ok"] for finding in found.values()), found
        assert "exposure 1." in found["sandbox"]["found"]
        box.run("systemctl", "disable", unit)
