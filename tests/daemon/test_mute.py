"""Muting over a real socket: who may, what is answered, and that nonsense does no harm."""

from __future__ import annotations

import os
import socket
import stat
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from edgeser.daemon import mute as mute_module
from edgeser.daemon.mute import (
    Mute,
    MuteAnswer,
    MuteRequest,
    MuteSocket,
    ask,
    mute_path,
)
from edgeser.errors import UserError
from edgeser.events.wire.umask import socket_umask
from tests.patience import PATIENCE_S, until


@pytest.fixture(autouse=True)
def a_busy_machine_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mute_module, "_PATIENCE_S", PATIENCE_S)


@pytest.fixture
def mute() -> Mute:
    return Mute()


@pytest.fixture
def path(tmp_path: Path, mute: Mute) -> Iterator[Path]:
    path = tmp_path / "events.sock.mute"
    server = MuteSocket(path, mute, "owner")
    yield path
    server.close()


def test_the_umask_is_changed_by_one_thread_at_a_time(tmp_path: Path, mute: Mute) -> None:
    def bind() -> None:
        MuteSocket(tmp_path / "other.mute", mute, "owner").close()

    before = os.umask(0o022)
    try:
        binder = threading.Thread(target=bind)
        with socket_umask(0o117):  # as another thread does for the sockets of events
            binder.start()
            binder.join(0.2)
            assert binder.is_alive()
        binder.join(PATIENCE_S)
        assert not binder.is_alive()
        assert os.umask(0o022) == 0o022
    finally:
        os.umask(before)


def said(path: Path, request: bytes) -> MuteAnswer:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(PATIENCE_S)
        connection.connect(str(path))
        connection.sendall(request)
        return msgspec.json.decode(connection.makefile("rb").readline(), type=MuteAnswer)


def test_on_off_and_whether(path: Path, mute: Mute) -> None:
    assert ask(path, MuteRequest()) == MuteAnswer(False)
    assert ask(path, MuteRequest(True)) == MuteAnswer(True)
    assert mute.is_on
    assert ask(path, MuteRequest()) == MuteAnswer(True)
    assert ask(path, MuteRequest(False)) == MuteAnswer(False)
    assert not mute.is_on


def test_only_a_change_is_logged(path: Path, mute: Mute, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    for on in (True, True, True, False, False):
        ask(path, MuteRequest(mute=on))
    said = [record.message for record in caplog.records]
    assert said == ["muted", "not muted any more"]


def test_it_ends_by_itself(path: Path, mute: Mute) -> None:
    answer = ask(path, MuteRequest(True, for_s=600))
    assert answer.muted
    assert answer.left_s is not None
    assert 0 < answer.left_s <= 600
    ask(path, MuteRequest(True, for_s=0.05))
    until(lambda: not mute.is_on)
    assert ask(path, MuteRequest()) == MuteAnswer(False)


def test_a_shell_can_do_it_too(path: Path, mute: Mute) -> None:
    assert said(path, b'{"mute": true, "for_s": 30}\n').muted
    assert mute.is_on


def test_only_the_owner_may_connect_unless_the_group_is_let_in(tmp_path: Path, path: Path) -> None:
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    other = tmp_path / "other"
    umask = os.umask(0)
    try:
        server = MuteSocket(other, Mute(), "group")
        assert os.umask(0) == 0  # as it was
    finally:
        os.umask(umask)
    assert stat.S_IMODE(other.stat().st_mode) == 0o660
    server.close()
    assert not other.exists()


@pytest.mark.parametrize(
    "nonsense",
    [
        b"\n",
        b"mute\n",
        b'{"mute": 1}\n',
        b'{"for_s": -1}\n',
        b'{"stop": true}\n',
        b"x" * 256,
        b'{"\xff\xfe": true}\n',
        b"[" * 255 + b"\n",
    ],
)
def test_nonsense_is_answered_and_changes_nothing(path: Path, mute: Mute, nonsense: bytes) -> None:
    answer = said(path, nonsense)
    assert answer.error
    assert not answer.muted
    assert ask(path, MuteRequest(True)).muted


def test_a_request_that_fails_by_a_defect_of_ours_is_the_only_one(
    path: Path, mute: Mute, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail() -> None:
        raise KeyError("unforeseen")

    monkeypatch.setattr(mute, "_on_change", fail)
    with pytest.raises(UserError, match="no answer"):
        ask(path, MuteRequest(True))
    assert "a request to mute could not be answered" in caplog.text
    monkeypatch.undo()
    assert ask(path, MuteRequest(True)).muted


def test_an_answer_that_is_no_text_is_one_line(tmp_path: Path) -> None:
    other = tmp_path / "mute"
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as server:
        server.bind(str(other))
        server.listen()

        def answer() -> None:
            with server.accept()[0] as connection:
                connection.recv(100)
                connection.sendall(b'{"muted": true, "error": "\xff\xfe"}\n')

        thread = threading.Thread(target=answer)
        thread.start()
        with pytest.raises(UserError, match="no answer"):
            ask(other, MuteRequest())
        thread.join(PATIENCE_S)


def test_who_connects_and_says_nothing_holds_nobody_up_for_long(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mute_module, "_PATIENCE_S", 1.0)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as idle:
        idle.connect(str(path))
        deadline = time.monotonic() + PATIENCE_S
        while True:
            try:
                assert ask(path, MuteRequest(True)).muted
                break
            except UserError:  # a machine so busy that the answer came late
                assert time.monotonic() < deadline


def test_who_asks_again_and_again_is_answered_now_and_then(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mute_module, "_REST_S", 3600.0)
    assert ask(path, MuteRequest(True)).muted
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as again:
        again.settimeout(0.3)
        again.connect(str(path))
        again.sendall(b"{}\n")
        with pytest.raises(TimeoutError):
            again.recv(1)


def test_a_socket_that_a_killed_daemon_left_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "mute"
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as dead:
        dead.bind(str(path))
    with pytest.raises(UserError, match=r"no daemon takes requests to mute"):
        ask(path, MuteRequest())
    server = MuteSocket(path, Mute(), "owner")
    assert not ask(path, MuteRequest()).muted
    server.close()
    with pytest.raises(UserError, match=r"no daemon takes requests to mute"):
        ask(path, MuteRequest())


def test_closing_ends_its_thread(tmp_path: Path) -> None:
    before = set(threading.enumerate())
    server = MuteSocket(tmp_path / "mute", Mute(), "owner")
    (thread,) = set(threading.enumerate()) - before
    server.close()
    thread.join(PATIENCE_S)
    assert not thread.is_alive()


def test_a_folder_that_cannot_be_written_to_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"nowhere/mute: cannot take requests"):
        MuteSocket(tmp_path / "nowhere" / "mute", Mute(), "owner")


def test_where_it_is() -> None:
    assert mute_path("ipc:///run/edgeser/events.sock") == Path("/run/edgeser/events.sock.mute")
    assert mute_path("tcp://127.0.0.1:7788") is None
