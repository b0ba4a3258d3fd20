"""``edgeser listen`` as a process, against a real publisher."""

from __future__ import annotations

import json
import os
import pty
import select
import signal
import subprocess
import sys
import time

import msgspec
import pytest
import zmq
from click.testing import CliRunner

from edgeser.cli import main
from edgeser.events.publish.publisher import Publisher
from edgeser.events.schema import decode, encode
from edgeser.events.subscribe import subscriber

from .helpers import PATIENCE_S, emotion, fault, level, speech, status, until

EDGESER = [sys.executable, "-m", "edgeser", "listen", "--connect"]


def listen(endpoint: str, *options: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [*EDGESER, endpoint, *options], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )


@pytest.mark.parametrize("options", [(), ("--json",)])
def test_piped_it_prints_each_event_just_as_it_was_received(
    endpoint: str, options: tuple[str, ...]
) -> None:
    context = zmq.Context()
    plain = context.socket(zmq.SUB)
    plain.rcvtimeo = 120_000
    plain.connect(endpoint)
    plain.subscribe("")
    with Publisher([endpoint]) as publisher:
        process = listen(endpoint, "--count", "4", *options)
        until(lambda: publisher.subscriptions == 2)
        for event in (status(), speech(), emotion(), fault("Störung")):
            publisher.publish(event)
        out, errors = process.communicate(timeout=PATIENCE_S)
        received = [plain.recv_multipart()[1] for _ in range(4)]
    context.destroy(linger=0)
    assert out.splitlines() == received
    assert errors == b""
    assert process.returncode == 0


def test_each_line_comes_at_once_and_gaps_are_lines_too(endpoint: str) -> None:
    context = zmq.Context()
    wire = context.socket(zmq.XPUB)
    wire.rcvtimeo = 120_000
    wire.bind(endpoint)
    process = listen(endpoint, "--topic", "fault.", "--topic", "emotion.", "--count", "2")
    assert process.stdout is not None
    assert {wire.recv(), wire.recv()} == {b"\x01fault.", b"\x01emotion."}
    lines = []
    for seq in (1, 4):
        event = msgspec.structs.replace(fault(), epoch="a", seq=seq)
        wire.send_multipart([b"fault.mic", encode(event)])
        lines.append(json.loads(process.stdout.readline()))
    lines.append(json.loads(process.stdout.readline()))
    gap = {"type": "gap", "topic": "fault.mic", "epoch": "a", "from_seq": 2, "to_seq": 3}
    assert [line.get("seq", line) for line in lines] == [1, gap, 4]
    assert process.wait(PATIENCE_S) == 0
    process.communicate()
    context.destroy(linger=0)


def test_a_reader_that_leaves_is_no_error(endpoint: str) -> None:
    with Publisher([endpoint]) as publisher:
        process = listen(endpoint)
        until(lambda: publisher.subscriptions == 1)
        publisher.publish(fault())
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline()
        process.stdout.close()
        while process.poll() is None:
            publisher.publish(fault())
            time.sleep(0.05)
        assert process.stderr.read() == b""
        assert process.returncode == 0
        process.stderr.close()


@pytest.mark.parametrize("heard", [True, False])
def test_it_does_not_outlive_its_reader_where_nothing_comes(endpoint: str, heard: bool) -> None:
    with Publisher([endpoint]) as publisher:
        process = listen(endpoint)
        until(lambda: publisher.subscriptions == 1)
        assert process.stdout is not None
        assert process.stderr is not None
        if heard:
            publisher.publish(fault())
            process.stdout.readline()
        process.stdout.close()
        assert process.wait(PATIENCE_S) == 0
        assert process.stderr.read() == b""
        process.stderr.close()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_ends_cleanly_when_told_to(endpoint: str, number: signal.Signals) -> None:
    with Publisher([endpoint]) as publisher:
        process = listen(endpoint)
        until(lambda: publisher.subscriptions == 1)
        process.send_signal(number)
        assert process.communicate(timeout=PATIENCE_S) == (b"", b"")
        assert process.returncode == 0


def test_no_daemon_is_one_line_and_exit_2(endpoint: str) -> None:
    process = listen(endpoint, "--timeout", "0.3")
    out, errors = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 2
    assert out == b""
    assert errors.count(b"\n") == 1
    assert endpoint.encode() in errors
    assert b"edgeser run" in errors


def test_why_nothing_comes_is_not_said_twice(
    endpoint: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(subscriber, "SAY_AFTER_S", 0.0)
    before = signal.getsignal(signal.SIGTERM)
    try:
        done = CliRunner().invoke(main, ["listen", "--connect", endpoint, "--timeout", "0.5"])
    finally:
        signal.signal(signal.SIGTERM, before)
    assert done.exit_code == 2
    assert done.stderr == f"edgeser: endpoint '{endpoint}': nothing came within 0.5 s\n"
    [record] = caplog.records
    assert "edgeser run" in record.getMessage()


@pytest.mark.parametrize("command", [("listen", "--json"), ("on", "final", "--", "true")])
def test_who_waits_for_a_daemon_says_so_once(endpoint: str, command: tuple[str, ...]) -> None:
    name, *rest = command
    process = subprocess.Popen(
        [*EDGESER[:-2], name, "--connect", endpoint, *rest],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stderr is not None
    line = process.stderr.readline()
    assert f"endpoint '{endpoint}': nothing publishes there yet; ".encode() in line
    with Publisher([endpoint]) as publisher:
        until(lambda: publisher.subscriptions > 0)
        process.send_signal(signal.SIGTERM)
        assert process.communicate(timeout=PATIENCE_S) == (b"", b"")
        assert process.returncode == 0


def test_silence_of_one_topic_says_that_the_daemon_is_there(endpoint: str) -> None:
    with Publisher([endpoint], on_subscribe=lambda: publisher.publish(status())) as publisher:
        process = listen(endpoint, "--topic", "emotion.", "--timeout", "5")
        _, errors = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 2
    assert b"begins with emotion., though the daemon is there" in errors
    assert b"edgeser run" not in errors


def test_a_terminal_that_cannot_be_drawn_on_gets_lines(endpoint: str) -> None:
    terminal, theirs = pty.openpty()
    with Publisher([endpoint]) as publisher:
        process = subprocess.Popen(
            [*EDGESER, endpoint, "--count", "1"],
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            env=os.environ | {"TERM": "dumb"},
        )
        os.close(theirs)
        until(lambda: publisher.subscriptions == 1)
        publisher.publish(fault("the cable is out"))
        assert b"cable is out" in read_all(terminal)
        assert process.wait(PATIENCE_S) == 0
    os.close(terminal)


def test_silence_after_events_is_an_end(endpoint: str) -> None:
    with Publisher([endpoint]) as publisher:
        process = listen(endpoint, "--timeout", "3")
        until(lambda: publisher.subscriptions == 1)
        publisher.publish(fault())
        out, errors = process.communicate(timeout=PATIENCE_S)
    assert len(out.splitlines()) == 1
    assert decode(out.strip())
    assert errors == b""
    assert process.returncode == 0


def test_a_malformed_endpoint_is_one_line_and_exit_2() -> None:
    process = listen("tcp://127.0.0.1:http")
    out, errors = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 2
    assert out == b""
    assert errors.count(b"\n") == 1


def test_on_a_terminal_it_is_a_live_view_that_leaves_the_finals(endpoint: str) -> None:
    terminal, theirs = pty.openpty()
    environment = os.environ | {"TERM": "xterm-256color", "COLUMNS": "80", "LINES": "24"}
    with Publisher([endpoint]) as publisher:
        process = subprocess.Popen(
            [*EDGESER, endpoint], stdin=theirs, stdout=theirs, stderr=theirs, env=environment
        )
        os.close(theirs)
        until(lambda: publisher.subscriptions == 2)
        assert publisher.levels_wanted
        for event in (status(), level(), speech(), emotion(), fault("the cable is out")):
            publisher.publish(event)
        screen = read_until(terminal, b"cable is out")
        for shown in (b"listening", b"-46 dBFS", b"lightweight-emodb", b"HAPPY", b"85%"):
            assert shown in screen
        process.send_signal(signal.SIGINT)
        rest = read_until(terminal, b"1 final,")
        leave = rest.index(b"\x1b[?1049l")
        assert b"happy" in rest[leave:] + read_all(terminal)
        assert process.wait(PATIENCE_S) == 0
    os.close(terminal)


def test_the_live_view_of_one_topic_says_when_the_daemon_is_gone(endpoint: str) -> None:
    terminal, theirs = pty.openpty()
    environment = os.environ | {"TERM": "xterm-256color", "COLUMNS": "80", "LINES": "24"}
    with Publisher([endpoint]) as publisher:
        process = subprocess.Popen(
            [*EDGESER, endpoint, "--topic", "emotion.", "--count", "2"],
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            env=environment,
        )
        os.close(theirs)
        until(lambda: publisher.subscriptions == 3)
        for event in (status(), emotion(), status(), status()):
            publisher.publish(event)
        assert b"listening" in read_until(terminal, b"onnxruntime")
    read_until(terminal, b"no daemon for")
    process.send_signal(signal.SIGINT)
    read_until(terminal, b"1 event, 1 final,")
    assert process.wait(PATIENCE_S) == 0
    os.close(terminal)


def read_until(terminal: int, text: bytes) -> bytes:
    found = b""
    deadline = time.monotonic() + PATIENCE_S
    while text not in found:
        ready = select.select([terminal], [], [], max(0, deadline - time.monotonic()))[0]
        assert ready, f"{text!r} never came: {found!r}"
        found += os.read(terminal, 65536)
    return found


def read_all(terminal: int) -> bytes:
    found = b""
    while True:
        try:
            found += os.read(terminal, 65536)
        except OSError:  # the other end is closed
            return found
