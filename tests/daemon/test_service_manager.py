"""What the service manager is told, as it receives it."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from edgeser.daemon.service_manager import ServiceManager
from tests.patience import PATIENCE_S


class Manager:
    """Stands in for systemd: a socket and what arrives at it."""

    def __init__(self, address: str) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(address)
        self.socket.settimeout(PATIENCE_S)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)

    def heard(self) -> list[str]:
        """The next datagrams, until no more are there."""
        messages = [self.socket.recv(4096).decode()]
        self.socket.setblocking(False)
        while True:
            try:
                messages.append(self.socket.recv(4096).decode())
            except BlockingIOError:
                self.socket.settimeout(PATIENCE_S)
                return messages


@pytest.fixture(params=["file", "abstract"])
def named(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[str, Manager]]:
    """``NOTIFY_SOCKET`` and who listens there."""
    if request.param == "file":
        name = str(tmp_path / "notify")
        manager = Manager(name)
    else:
        name = f"@edgeser-test-{os.getpid()}"
        manager = Manager("\0" + name[1:])
    yield name, manager
    manager.socket.close()


def test_each_call_is_one_datagram(named: tuple[str, Manager]) -> None:
    name, manager = named
    notifier = ServiceManager({"NOTIFY_SOCKET": name})
    notifier.ready()
    notifier.alive()
    notifier.stopping()
    assert manager.heard() == ["READY=1", "WATCHDOG=1", "STOPPING=1"]
    notifier.reloading()
    (message,) = manager.heard()
    first, _, second = message.partition("\n")
    assert first == "RELOADING=1"
    assert abs(int(second.removeprefix("MONOTONIC_USEC=")) / 1e6 - time.monotonic()) < PATIENCE_S


def test_the_status_is_one_line_sent_when_it_changes(named: tuple[str, Manager]) -> None:
    name, manager = named
    notifier = ServiceManager({"NOTIFY_SOCKET": name})
    for text in ("listening", "listening", "a\nREADY=1", "no\udcff\u00e9.wav"):
        notifier.status(text, well=True)
    notifier.status("no audio", well=True)
    notifier.status("no audio", well=False)
    assert manager.heard() == [
        "STATUS=listening\nERRNO=0",
        "STATUS=a\\nREADY=1\nERRNO=0",
        "STATUS=no\\udcff\u00e9.wav\nERRNO=0",  # a name that is not UTF-8
        "STATUS=no audio\nERRNO=0",
        "STATUS=no audio\nERRNO=5",
    ]


@pytest.mark.parametrize("address", ["", "nonsense", "/nonexistent/notify", "@nobody-is-here"])
def test_without_a_manager_nothing_happens(address: str) -> None:
    notifier = ServiceManager({"NOTIFY_SOCKET": address})
    notifier.ready()
    notifier.status("listening", well=True)
    notifier.close()
    notifier.alive()


def test_a_manager_that_reads_nothing_does_not_hold_the_daemon_up(
    named: tuple[str, Manager],
) -> None:
    name, _ = named
    notifier = ServiceManager({"NOTIFY_SOCKET": name})
    began = time.monotonic()
    for number in range(2_000):
        notifier.status(f"{number} " + 500 * "x", well=True)
    assert time.monotonic() - began < PATIENCE_S


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({"WATCHDOG_USEC": "30000000"}, 30.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": str(os.getpid())}, 30.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "1"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "often"}, None),
        ({}, None),
    ],
)
def test_the_watchdog_is_known(environment: dict[str, str], expected: float | None) -> None:
    assert ServiceManager({"NOTIFY_SOCKET": "@x", **environment}).watchdog_s == expected
    assert ServiceManager(environment).watchdog_s is None
