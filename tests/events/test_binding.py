"""One daemon for an endpoint, and nobody else's eyes on it."""

from __future__ import annotations

import os
import signal
import socket
import stat
from pathlib import Path

import pytest

from edgeser.errors import UserError
from edgeser.events.publish.publisher import Publisher
from edgeser.events.subscribe.subscriber import Subscriber

from .helpers import PATIENCE_S, fault, python, subscribe, take

PUBLISH_FOR_EVER = """
import sys, time
from edgeser.events.publish.publisher import Publisher
publisher = Publisher(sys.argv[1:])
print("ready", flush=True)
time.sleep(600)
"""


def path_of(endpoint: str) -> Path:
    return Path(endpoint.removeprefix("ipc://"))


def lock_of(endpoint: str) -> Path:
    return Path(endpoint.removeprefix("ipc://") + ".lock")


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077])
def test_owner_and_group_may_connect_whatever_the_umask(endpoint: str, umask: int) -> None:
    before = os.umask(umask)
    try:
        with Publisher([endpoint]):
            after = os.umask(umask)
            assert after == umask
            mode = path_of(endpoint).stat().st_mode
            assert stat.S_ISSOCK(mode)
            assert stat.S_IMODE(mode) == 0o660
    finally:
        os.umask(before)


def test_a_missing_folder_is_made_for_its_owner_alone(endpoint: str) -> None:
    path = path_of(endpoint).parent / "new" / "events.sock"
    with Publisher([f"ipc://{path}"]):
        assert stat.S_IMODE(path.parent.stat().st_mode) & 0o077 == 0


def test_nothing_is_left_behind(endpoint: str) -> None:
    with Publisher([endpoint]):
        assert path_of(endpoint).exists()
        assert lock_of(endpoint).exists()
    assert list(path_of(endpoint).parent.iterdir()) == []


def test_a_second_daemon_is_told_who_was_first_and_disturbs_nothing(endpoint: str) -> None:
    with Publisher([endpoint]) as publisher, subscribe(publisher) as subscriber:
        with pytest.raises(UserError, match=f"in use by pid {os.getpid()}.*--bind"):
            Publisher([endpoint])
        second = python(PUBLISH_FOR_EVER, endpoint)
        _, errors = second.communicate(timeout=PATIENCE_S)
        assert f"in use by pid {os.getpid()}" in errors
        with subscribe(publisher) as late:
            publisher.publish(fault())
            assert take(subscriber, 1) == take(late, 1)
    Publisher([endpoint]).close()


def test_a_port_in_use_is_named_with_the_fix() -> None:
    with Publisher(["tcp://127.0.0.1:*"]) as publisher:
        with pytest.raises(UserError, match="--bind") as caught:
            Publisher(publisher.endpoints)
        assert publisher.endpoints[0] in str(caught.value)


def test_when_one_endpoint_is_refused_the_others_are_given_up(endpoint: str) -> None:
    with pytest.raises(UserError):
        Publisher([endpoint, "tcp://0.0.0.0:5555"])
    assert list(path_of(endpoint).parent.iterdir()) == []
    Publisher([endpoint]).close()


def test_what_a_killed_daemon_left_is_taken_over(endpoint: str) -> None:
    killed = python(PUBLISH_FOR_EVER, endpoint)
    assert killed.stdout is not None
    assert killed.stdout.readline() == "ready\n"
    with pytest.raises(UserError, match=f"pid {killed.pid}"):
        Publisher([endpoint])
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    assert path_of(endpoint).exists()
    assert lock_of(endpoint).exists()
    with Publisher([endpoint]) as publisher, subscribe(publisher) as subscriber:
        publisher.publish(fault())
        assert len(take(subscriber, 1)) == 1


def test_a_socket_without_a_lock_is_replaced(endpoint: str) -> None:
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(path_of(endpoint)))
    with Publisher([endpoint]) as publisher, subscribe(publisher):
        pass


def test_a_file_that_is_no_socket_is_left_alone(endpoint: str) -> None:
    path_of(endpoint).write_text("precious")
    with pytest.raises(UserError, match="is not a socket"):
        Publisher([endpoint])
    assert path_of(endpoint).read_text() == "precious"


def test_a_folder_that_cannot_be_used_is_named(endpoint: str) -> None:
    path_of(endpoint).write_text("a file, not a folder")
    with pytest.raises(UserError, match=f"{path_of(endpoint)}"):
        Publisher([f"{endpoint}/events.sock"])


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder away")
def test_a_folder_that_another_user_made_in_tmp_is_a_trap(tmp_path: Path, endpoint: str) -> None:
    shared = path_of(endpoint).parent
    shared.chmod(0o1777)
    trap = shared / "edgeser-0"
    trap.mkdir()
    os.chown(trap, 12345, 12345)
    with pytest.raises(UserError, match="another user"):
        Publisher([f"ipc://{trap / 'events.sock'}"])


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
@pytest.mark.parametrize("kind", ["folder", "link to a folder", "socket", "link to a socket"])
def test_nobody_listens_to_what_another_user_made_in_tmp(endpoint: str, kind: str) -> None:
    shared = path_of(endpoint).parent / "tmp"
    theirs = path_of(endpoint).parent / "theirs"
    shared.mkdir()
    shared.chmod(0o1777)
    theirs.mkdir()
    path = {
        "folder": shared / "edgeser-0" / "events.sock",
        "link to a folder": shared / "edgeser-0" / "events.sock",
        "socket": shared / "events.sock",
        "link to a socket": shared / "events.sock",
    }[kind]
    if kind == "folder":
        path.parent.mkdir()
        os.chown(path.parent, 12345, 12345)
    elif kind == "link to a folder":
        path.parent.symlink_to(theirs)
        os.chown(path.parent, 12345, 12345, follow_symlinks=False)
    elif kind == "link to a socket":
        path.symlink_to(theirs / "events.sock")
        os.chown(path, 12345, 12345, follow_symlinks=False)
    with socket.socket(socket.AF_UNIX) as pretender:
        pretender.bind(str(theirs / "events.sock" if kind.startswith("link") else path))
        if kind == "socket":
            os.chown(path, 12345, 12345)
        for use in (Subscriber, lambda text: Publisher([text])):
            with pytest.raises(UserError, match="another user"):
                use(f"ipc://{path}")


def test_taking_tcp_again_leaves_the_umask_alone(
    endpoint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    changes: list[int] = []
    real = os.umask
    monkeypatch.setattr(os, "umask", lambda mask: changes.append(mask) or real(mask))
    with Publisher(["tcp://127.0.0.1:*"]):
        assert changes == []
    with Publisher([endpoint]):
        assert changes
