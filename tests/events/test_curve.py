"""Over encrypted TCP only those whose key is allowed are told anything."""

from __future__ import annotations

import os
import random
import socket
import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

import msgspec
import pytest
import zmq

from edgeser.errors import UserError
from edgeser.events.journal.journal import JournalPlace
from edgeser.events.publish.publisher import Publisher
from edgeser.events.schema import FaultEvent
from edgeser.events.sequence import Gap
from edgeser.events.subscribe.subscriber import Subscriber
from edgeser.events.wire.keys import KeyFolder
from edgeser.events.wire.zap import CurveAuthenticator

from .helpers import PATIENCE_S, fault, status, until

ANYWHERE = "tcp://127.0.0.1:*"
SILENCE_S = 1.0


class Device:
    """A publisher's keys and what subscribers know of it."""

    def __init__(self, folder: Path) -> None:
        self.keys = KeyFolder(folder)
        self.public = self.keys.new("server")
        self.clients = KeyFolder(folder / "clients")

    def publisher(self, file: Path | None = None, *endpoints: str) -> Publisher:
        place = JournalPlace(file) if file else None
        return Publisher(endpoints or [ANYWHERE], keys=self.keys, journal=place)

    def client(self, name: str, *, allowed: bool = True) -> Path:
        """A client's secret key."""
        public = self.clients.new(name)
        if allowed:
            self.keys.allow(name, public)
        return self.clients.folder / f"{name}.secret"

    def subscriber(self, publisher: Publisher, secret: Path, **other: object) -> Subscriber:
        options = {"server_key": self.public, "timeout_s": PATIENCE_S, **other}
        return Subscriber(publisher.endpoints[0], key=secret, **options)  # type: ignore[arg-type]


@pytest.fixture
def device(tmp_path: Path) -> Device:
    return Device(tmp_path / "keys")


def hears_nothing(publisher: Publisher, *subscribers: Subscriber) -> bool:
    """Whether none of them is told anything while much is published."""
    deadline = time.monotonic() + SILENCE_S
    while time.monotonic() < deadline:
        publisher.publish(fault())
        time.sleep(0.02)
    for subscriber in subscribers:
        subscriber._timeout_s = 0.1
        try:
            next(subscriber)
        except TimeoutError:
            continue
        return False
    return True


def hears(publisher: Publisher, subscriber: Subscriber) -> None:
    """Wait until it is told something."""
    heard: list[object] = []
    subscriber._timeout_s = 0.05

    def told() -> bool:
        publisher.publish(fault())
        try:
            heard.append(next(subscriber))
        except TimeoutError:
            return False
        return True

    until(told)


def test_a_listed_key_is_told_everything_live_and_past(device: Device, tmp_path: Path) -> None:
    secret = device.client("phone")
    with device.publisher(tmp_path / "journal.db") as publisher:
        for _ in range(3):
            publisher.publish(fault())
        until(lambda: publisher.last_seq() == {"fault.mic": 3})
        with device.subscriber(publisher, secret, since="all") as subscriber:
            first = [next(subscriber).seq for _ in range(3)]  # type: ignore[union-attr]
            publisher.publish(fault("live"))
            live = next(subscriber)
    assert first == [1, 2, 3]
    assert isinstance(live, FaultEvent)
    assert live.message == "live"


def test_others_are_told_nothing(device: Device, tmp_path: Path) -> None:
    listed, unlisted = device.client("phone"), device.client("stranger", allowed=False)
    other_server = KeyFolder(tmp_path / "other").new("server")
    with device.publisher(tmp_path / "journal.db") as publisher:
        plain = Subscriber(publisher.endpoints[0], since="all")
        wrong = device.subscriber(publisher, listed, server_key=other_server, since="all")
        stranger = device.subscriber(publisher, unlisted, since="all")
        with plain, wrong, stranger, device.subscriber(publisher, listed) as good:
            hears(publisher, good)
            assert hears_nothing(publisher, plain, wrong, stranger)
            assert publisher.subscriptions == 1


def test_a_doorkeeper_that_fails_is_a_failure_of_the_publisher(
    device: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> list[bytes]:
        raise MemoryError("no room for an answer")

    monkeypatch.setattr(CurveAuthenticator, "_answer", fail)
    secret = device.client("phone")
    with device.publisher() as publisher:
        assert publisher.failure is None
        with device.subscriber(publisher, secret):
            until(lambda: isinstance(publisher.failure, MemoryError))


def test_a_raw_client_without_a_key_is_answered_nothing(device: Device, tmp_path: Path) -> None:
    with device.publisher(tmp_path / "journal.db") as publisher:
        port = urlsplit(publisher.endpoints[0]).port
        context = zmq.Context()
        asker = context.socket(zmq.DEALER)
        asker.connect(f"tcp://127.0.0.1:{port + 1}")  # type: ignore[operator]
        asker.send(msgspec.json.encode({"id": 1, "prefixes": [""]}))
        assert not asker.poll(round(SILENCE_S * 1000))
        context.destroy(linger=0)


def test_a_key_added_at_run_time_works_after_the_reload(device: Device) -> None:
    secret = device.client("phone", allowed=False)
    with device.publisher() as publisher, device.subscriber(publisher, secret) as subscriber:
        assert hears_nothing(publisher, subscriber)
        device.keys.allow("phone", device.clients.own()["phone"])
        assert hears_nothing(publisher, subscriber)
        publisher.reload_keys()
        hears(publisher, subscriber)


def test_a_revoked_key_is_cut_off_and_others_miss_nothing(device: Device, tmp_path: Path) -> None:
    good_key, bad_key = device.client("phone"), device.client("thief")
    with (
        device.publisher(tmp_path / "journal.db") as publisher,
        device.subscriber(publisher, good_key, since="all") as good,
        device.subscriber(publisher, bad_key, since="all") as bad,
    ):
        hears(publisher, good)
        hears(publisher, bad)
        until(lambda: publisher.subscriptions == 2)
        device.keys.revoke("thief")
        publisher.reload_keys()
        until(lambda: publisher.subscriptions <= 1)
        drain(bad)
        assert hears_nothing(publisher, bad)
        publisher.publish(fault("the last"))
        good._timeout_s = 0.1
        seqs: list[int] = []

        def told_the_last() -> bool:
            try:
                item = next(good)
            except TimeoutError:
                publisher.publish(status())  # it may not be back yet
                return False
            assert not isinstance(item, Gap)
            if isinstance(item, FaultEvent):
                seqs.append(item.seq)
            return isinstance(item, FaultEvent) and item.message == "the last"

        until(told_the_last)
    assert seqs == list(range(seqs[0], seqs[0] + len(seqs)))


def drain(subscriber: Subscriber) -> None:
    """Read what was sent to it before."""
    subscriber._timeout_s = 0.2
    while True:
        try:
            next(subscriber)
        except TimeoutError:
            return


def test_ipc_needs_no_key_beside_encrypted_tcp(device: Device, endpoint: str) -> None:
    secret = device.client("phone")
    for endpoints in ((ANYWHERE, endpoint), (endpoint, ANYWHERE)):
        with device.publisher(None, *endpoints) as publisher:
            at = {urlsplit(address).scheme: address for address in publisher.endpoints}
            plain = Subscriber(at["ipc"])
            with plain, Subscriber(at["tcp"], key=secret, server_key=device.public) as secure:
                hears(publisher, plain)
                hears(publisher, secure)
            with Subscriber(at["tcp"]) as stranger:
                assert hears_nothing(publisher, stranger)


def test_beyond_loopback_only_with_keys(device: Device) -> None:
    with pytest.raises(UserError, match="CURVE"):
        Publisher(["tcp://0.0.0.0:*"])
    secret = device.client("phone")
    with device.publisher(None, "tcp://0.0.0.0:*") as publisher:
        port = urlsplit(publisher.endpoints[0]).port
        near = f"tcp://127.0.0.1:{port}"
        with Subscriber(near, key=secret, server_key=device.public) as subscriber:
            hears(publisher, subscriber)


def test_wrong_keys_at_a_reload_change_nothing(device: Device) -> None:
    secret = device.client("phone")
    with device.publisher() as publisher, device.subscriber(publisher, secret) as subscriber:
        (device.keys.folder / "allowed" / "broken").write_text("no key")
        with pytest.raises(UserError, match="broken"):
            publisher.reload_keys()
        hears(publisher, subscriber)


@pytest.mark.parametrize("connections", [150])
def test_garbage_at_the_encrypted_ports_disturbs_nobody(
    device: Device, tmp_path: Path, connections: int
) -> None:
    secret = device.client("phone")
    random_ = random.Random(1)
    # What a peer says first: greeting of ZMTP 3.1 with the mechanism CURVE, then HELLO.
    greeting = b"\xff" + bytes(8) + b"\x7f\x03\x01" + b"CURVE".ljust(20, b"\0") + bytes(32)
    hello = b"\x04\xc8\x05HELLO\x01\x00" + random_.randbytes(192)
    with (
        device.publisher(tmp_path / "journal.db") as publisher,
        device.subscriber(publisher, secret) as subscriber,
    ):
        hears(publisher, subscriber)
        port = urlsplit(publisher.endpoints[0]).port
        assert port is not None
        for n in range(connections):
            message = bytearray(greeting + hello + random_.randbytes(random_.randrange(300)))
            for _ in range(random_.randrange(4)):
                message[random_.randrange(len(message))] = random_.randrange(256)
            with socket.create_connection(("127.0.0.1", port + n % 2)) as raw:
                raw.sendall(message[: random_.randrange(len(message))])
        hears(publisher, subscriber)
        with device.subscriber(publisher, secret, since="all") as late:
            assert isinstance(next(late), FaultEvent)


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604])
def test_a_secret_that_others_can_read_is_refused(device: Device, mode: int) -> None:
    (device.keys.folder / "server.secret").chmod(mode)
    with pytest.raises(UserError, match="chmod 600"):
        device.publisher()


def test_a_list_that_others_can_change_is_refused(device: Device) -> None:
    device.client("phone")
    (device.keys.folder / "allowed").chmod(0o777)
    with pytest.raises(UserError, match="add their own keys"):
        device.publisher()


Change = Callable[[KeyFolder], object]


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (lambda keys: keys.new("server"), "one already"),
        (lambda keys: keys.new("../server"), "expected a name"),
        (lambda keys: keys.new(""), "expected a name"),
        (lambda keys: keys.allow("phone", "short"), "40 characters"),
        (lambda keys: keys.allow("phone", "x" * 39 + "ü"), "40 characters"),
        (lambda keys: keys.allow("a/b", "x" * 40), "expected a name"),
        (lambda keys: keys.revoke("nobody"), "no allowed key has this name"),
        (lambda keys: keys.secret("nobody"), "No such file"),
    ],
)
def test_what_is_wrong_with_keys_is_said(device: Device, change: Change, complaint: str) -> None:
    with pytest.raises(UserError, match=complaint):
        change(device.keys)


def test_secret_keys_belong_to_their_owner_alone(device: Device) -> None:
    umask = os.umask(0)
    try:
        secret = device.client("phone")
    finally:
        os.umask(umask)
    assert secret.stat().st_mode & 0o777 == 0o600
    assert device.clients.own() == {"phone": device.keys.allowed()["phone"].decode()}


def test_a_subscriber_is_told_what_is_wrong_with_its_keys(device: Device, endpoint: str) -> None:
    secret = device.client("phone")
    for options in ({"key": secret}, {"server_key": device.public}):
        with pytest.raises(UserError, match="belong together"):
            Subscriber("tcp://127.0.0.1:9", **options)  # type: ignore[arg-type]
    with pytest.raises(UserError, match="for TCP"):
        Subscriber(endpoint, key=secret, server_key=device.public)
    with pytest.raises(UserError, match="40 characters"):
        Subscriber("tcp://127.0.0.1:9", key=secret, server_key="x")
    secret.chmod(0o644)
    with pytest.raises(UserError, match="chmod 600"):
        Subscriber("tcp://127.0.0.1:9", key=secret, server_key=device.public)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make keys for somebody else")
def test_what_root_makes_belongs_to_the_owner_of_the_folder(tmp_path: Path) -> None:
    folder = tmp_path / "keys"
    folder.mkdir()
    os.chown(folder, 12345, 12346)
    keys = KeyFolder(folder)
    keys.allow("phone", keys.new("server"))
    for path in folder.rglob("*"):
        assert (path.stat().st_uid, path.stat().st_gid) == (12345, 12346), path
    assert list(keys.allowed()) == ["phone"]
    os.chown(folder / "allowed" / "phone", 54321, 54321)
    with pytest.raises(UserError, match="add their own keys"):
        keys.allowed()
