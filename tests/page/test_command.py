"""The command: whose daemon it shows, and what it refuses before it serves anything."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from .conftest import PAST
from .world import PATIENCE_S, Daemon, PageProcess, status, until


@pytest.fixture
def settings_file(daemon: Daemon, tmp_path: Path) -> Path:
    """The settings with which the daemon runs."""
    file = tmp_path / "settings.toml"
    bind = json.dumps([daemon.endpoint, "tcp://127.0.0.1:7788"])
    path = json.dumps(str(daemon.journal))
    file.write_text(f"[events]\nbind = {bind}\n[journal]\npath = {path}\n")
    return file


def refused(*arguments: str) -> str:
    """The line in which it says why it does not begin."""
    command = [sys.executable, "-m", "edgeser", "page", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S)
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    return done.stderr


def test_settings_say_where_the_daemon_is_and_its_past(
    daemon: Daemon, settings_file: Path, tmp_path: Path
) -> None:
    page = PageProcess("--settings", str(settings_file), folder=tmp_path)
    try:
        assert page.ask("/api/journal")["first"] == PAST

        def heard() -> bool:
            daemon.tell(status())
            return page.get("/healthz")[0] == 200

        until(heard, "the daemon of the settings is heard")
    finally:
        page.close()


def test_two_daemons_are_not_shown_as_one(daemon: Daemon, settings_file: Path) -> None:
    said = refused("--connect", daemon.endpoint, "--settings", str(settings_file))
    assert "--connect and --settings: both say where the daemon publishes" in said


def test_a_port_in_use_is_named(daemon: Daemon) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        listen = f"127.0.0.1:{other.getsockname()[1]}"
        said = refused("--connect", daemon.endpoint, "--listen", listen)
    assert f"--listen {listen}: Address already in use; choose another port" in said
    assert "or an address of this machine, with --listen" in said  # as where it has no such address


def test_a_certificate_that_is_a_device_is_named(daemon: Daemon) -> None:
    said = refused(
        "--connect", daemon.endpoint, "--tls-cert", "/dev/null", "--tls-key", "/dev/null"
    )
    assert "it is no regular file: '/dev/null'" in said
