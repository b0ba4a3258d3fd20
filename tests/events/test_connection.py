"""A subscriber that hears no daemon is told why, and where that of the service is."""

from __future__ import annotations

import logging
import os
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
import zmq

from edgeser.events.publish.publisher import Publisher
from edgeser.events.subscribe import connection, subscriber, waiting
from edgeser.events.subscribe.subscriber import Subscriber
from edgeser.events.wire import sockets
from edgeser.events.wire.keys import KeyFolder
from edgeser.paths import ServiceFolders
from tests.events.helpers import PATIENCE_S, status, until
from tests.events.test_curve import Device, hears


@pytest.fixture(autouse=True)
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The service's runtime folder, here."""
    folder = tmp_path / "run"
    folder.mkdir()
    monkeypatch.setattr(
        connection, "service_folders", lambda _: ServiceFolders(tmp_path, folder, tmp_path)
    )
    return folder


def why(endpoint: str, **keys: object) -> str:
    """What a subscriber has to say once something was seen."""
    with Subscriber(endpoint, timeout_s=0.05, **keys) as listener:  # type: ignore[arg-type]
        until(lambda: bool(listener._connection._look() or listener._connection._seen))
        return str(listener.trouble)


def test_the_service_is_named_only_where_it_is(endpoint: str, run: Path) -> None:
    with Subscriber(endpoint) as listener:
        assert "'edgeser run'" in str(listener.trouble)
        assert "service" not in str(listener.trouble)
        (run / "events.sock").touch()
        assert str(listener.trouble) == (
            f"nothing publishes there yet; the service's events are at --connect "
            f"ipc://{run}/events.sock"
        )
    with Subscriber(f"ipc://{run}/events.sock") as listener:
        assert "doctor --service" in str(listener.trouble), "not a second daemon"
    with Subscriber("tcp://127.0.0.1:9") as listener:
        assert "the service" not in str(listener.trouble)


def test_a_silent_daemon_is_no_trouble(endpoint: str) -> None:
    with Publisher([endpoint]) as publisher, Subscriber(endpoint) as listener:
        until(lambda: listener.trouble is None)
        assert publisher.failure is None


def test_it_is_said_once_and_what_comes_later_is_heard(
    endpoint: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(subscriber, "SAY_AFTER_S", 0.05)
    with Subscriber(endpoint, timeout_s=0.1) as listener:
        for _ in range(3):
            with pytest.raises(TimeoutError):
                next(listener)
        [line] = [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING]
        assert line.startswith(f"endpoint '{endpoint}': nothing publishes there yet; ")
        listener._timeout_s = None
        with Publisher([endpoint], on_subscribe=lambda: publisher.publish(status())) as publisher:
            next(listener)
        assert listener.trouble is None


def test_a_subscriber_that_times_out_logs_nothing_besides(
    endpoint: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(subscriber, "SAY_AFTER_S", 0.1)
    with Subscriber(endpoint, timeout_s=0.1) as listener, pytest.raises(TimeoutError):
        next(listener)
    assert not caplog.records


def test_one_that_never_waits_says_it_as_well(
    endpoint: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(subscriber, "SAY_AFTER_S", 0.05)

    def has_said_why() -> bool:
        with pytest.raises(TimeoutError):
            next(listener)
        return listener.has_said_why

    with Subscriber(endpoint, timeout_s=0) as listener:
        until(has_said_why)
    assert "nothing publishes there yet" in caplog.text


def test_the_time_of_a_stopped_program_is_no_waiting_time(
    endpoint: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with Subscriber(endpoint, timeout_s=0) as listener:
        with pytest.raises(TimeoutError):
            next(listener)
        later = SimpleNamespace(monotonic=lambda: time.monotonic() + 3600)
        monkeypatch.setattr(subscriber, "time", later)
        monkeypatch.setattr(waiting, "time", later)
        with pytest.raises(TimeoutError):
            next(listener)
        listener._timeout_s = 0.01  # so that there is time to say it
        with pytest.raises(TimeoutError):
            next(listener)
    assert not caplog.records


def test_what_is_wrong_with_the_keys_is_said(tmp_path: Path) -> None:
    device = Device(tmp_path / "keys")
    listed, stranger = device.client("phone"), device.client("stranger", allowed=False)
    other = KeyFolder(tmp_path / "other").new("server")
    with device.publisher() as publisher, Publisher(["tcp://127.0.0.1:*"]) as plain:
        endpoint = publisher.endpoints[0]
        for where, key, server_key in (
            (endpoint, stranger, device.public),
            (endpoint, listed, other),
            (plain.endpoints[0], listed, device.public),
        ):
            assert why(where, key=key, server_key=server_key) == (
                "it refused our key, --server-key is not its key, or it is not encrypted; "
                "see 'edgeser keys list' there"
            )
        assert "--key and --server-key" in why(endpoint)
        assert why(endpoint, key=listed, server_key=device.public) == "None"


def test_who_is_refused_is_not_told_that_nobody_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(subscriber, "SAY_AFTER_S", 0.0)
    monkeypatch.setattr(sockets, "HANDSHAKE_MS", 300)  # of the daemon alone
    device = Device(tmp_path / "keys")
    stranger = device.client("stranger", allowed=False)
    with (
        device.publisher() as publisher,
        device.subscriber(publisher, stranger, timeout_s=0.2) as listener,
    ):
        while not listener.has_said_why:
            with pytest.raises(TimeoutError):
                next(listener)
    [line] = [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING]
    assert "it refused our key" in line


def test_a_key_that_is_allowed_later_is_no_trouble_any_more(tmp_path: Path) -> None:
    device = Device(tmp_path / "keys")
    secret = device.client("phone", allowed=False)
    with device.publisher() as publisher, device.subscriber(publisher, secret) as listener:
        until(lambda: listener.trouble is not None and "refused" in listener.trouble.what)
        device.keys.allow("phone", device.clients.own()["phone"])
        publisher.reload_keys()
        hears(publisher, listener)
        assert listener.trouble is None


def test_a_subscriber_may_be_opened_as_soon_as_another_is_closed(endpoint: str) -> None:
    with Publisher([endpoint]):
        for _ in range(300):
            with Subscriber(endpoint):
                pass
    for _ in range(300):
        with Subscriber("tcp://127.0.0.1:9"):
            pass


def test_one_that_nobody_closes_makes_no_other_deaf(endpoint: str) -> None:
    with Publisher([endpoint]):
        for _ in range(200):
            Subscriber(endpoint)
            with Subscriber(endpoint) as listener:
                until(lambda: listener.trouble is None)


def test_a_forked_process_is_told_to_make_its_own_and_ends(endpoint: str) -> None:
    with Subscriber(endpoint, timeout_s=0.1) as listener:
        child = os.fork()
        if not child:
            try:
                next(listener)
            except ValueError as error:
                listener.close()
                os._exit("make one after the fork" not in str(error))
            os._exit(2)
        ended: list[int] = []
        waiter = threading.Thread(target=lambda: ended.append(os.waitpid(child, 0)[1]), daemon=True)
        waiter.start()
        waiter.join(PATIENCE_S)
        assert ended == [0]


def test_one_may_be_closed_once_libzmq_ends(endpoint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    monkeypatch.setattr(zmq.Context, "instance", lambda: context)
    listener = Subscriber(endpoint)
    ending = threading.Thread(target=context.term, daemon=True)
    ending.start()
    listener.close()
    ending.join(PATIENCE_S)
    assert not ending.is_alive()
