"""What the services that connect to a server say, as services, of one that does not let them in."""

from __future__ import annotations

import re
import shutil
import time
import urllib.request
from pathlib import Path

import pytest

from tests.bridges.mosquitto import Mosquitto, passwords
from tests.bridges.nats_server import NatsServer
from tests.certificates import certificates
from tests.ports import free_port
from tests.system.box import Box
from tests.system.bridged import SETTINGS

ETC = "/etc/edgeser"
KINDS = {
    "mqtt": "broker = 'localhost:{port}'\ntls = true\n",
    "nats": "server = 'tls://localhost:{port}'\n",
    "lake": "server = 'tls://localhost:{port}'\n",
}


def server_of(kind: str, folder: Path) -> Mosquitto | NatsServer:
    """One that speaks TLS, and knows ``edgeser`` with the password ``right``."""
    cert, key = certificates(folder / "certificates")
    if kind == "mqtt":
        tls = f"certfile {cert}\nkeyfile {key}\n"
        return Mosquitto(folder / "server", passwords(folder) + tls)
    login = "authorization { user: edgeser, password: right }\n"
    return NatsServer(folder / "server", f'{login}tls {{ cert_file: "{cert}", key_file: "{key}" }}')


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_wrong_is_one_line_in_log_and_state_and_a_figure(
    box: Box, tmp_path: Path, kind: str
) -> None:
    unit = f"edgeser-{kind}"
    server = server_of(kind, tmp_path)
    other, _ = certificates(tmp_path / "other")
    shutil.copy(tmp_path / "certificates/cert.pem", box.path(f"{ETC}/right.pem"))
    shutil.copy(other, box.path(f"{ETC}/wrong.pem"))
    for word in ("right", "wrong"):
        box.path(f"{ETC}/{word}.password").write_text(f"{word}\n")
        box.path(f"{ETC}/{word}.pem").chmod(0o644)
    metrics = f"127.0.0.1:{free_port()}"

    def restart(ca: str, password: str) -> None:
        box.path(SETTINGS).write_text(
            f"[{kind}]\n{KINDS[kind].format(port=server.port)}ca = '{ETC}/{ca}.pem'\n"
            f"user = 'edgeser'\npassword_file = '{ETC}/{password}.password'\n"
            f"metrics = '{metrics}'\n"
        )
        box.run("systemctl", "restart", unit)

    def connected() -> str:
        with urllib.request.urlopen(f"http://{metrics}/metrics", timeout=60) as answer:
            lines = answer.read().decode().splitlines()
        return next(line for line in lines if line.startswith(f"edgeser_{kind}_connected "))

    cases = {
        ("right", "right"): r"cannot be reached|refused",
        ("right", "wrong"): r"does not know us|Not authorized",
        ("wrong", "right"): r"certificate is not (trusted|accepted)",
    }
    try:
        for number, ((ca, password), words) in enumerate(cases.items()):
            restart(ca, password)
            box.wait_for(rf"StatusText=waits: .*({words})", unit)
            assert connected().endswith(" 0.0")
            if number == 0:
                time.sleep(3)  # it tries again, and says nothing
                server.start()
                box.wait_for("StatusText=connected", unit)
                assert connected().endswith(" 1.0")
        journal = box.journal(unit)
        ours = [line for line in journal.splitlines() if f"localhost:{server.port}" in line]
        said = [line for line in ours if "trying again" in line]
        for words in cases.values():
            assert sum(re.search(words, line) is not None for line in said) == 1, journal
        assert "Traceback" not in journal
        assert box.state(unit)["NRestarts"] == "0"
    finally:
        box.run("systemctl", "stop", unit)
        server.kill()
