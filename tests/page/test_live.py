"""Server-sent events: what a browser is told, and what one that goes away or stops costs."""

from __future__ import annotations

import asyncio
import http.client
import json
import socket
import time
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from edgeser.events.publish import numbering
from edgeser.events.schema import encode
from edgeser.page.hub import MAX_MESSAGES, Hub
from edgeser.page.live import LiveResponse

from .world import (
    PATIENCE_S,
    Daemon,
    PageProcess,
    emotion,
    fault,
    page_of,
    status,
    until,
    write_journal,
)

AT_REST = 4
"""Subscriptions of a page that nobody looks at: emotions, speech, faults and statuses."""


class Told:
    """A client of ``/api/live`` over a plain socket."""

    def __init__(
        self,
        page: PageProcess,
        position: str = "",
        query: str = "",
        *,
        small: bool = False,
        accept: str = "",
    ) -> None:
        """``small``: with little room for what has not been read. ``accept``: an encoding."""
        self._socket = socket.socket()
        if small:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        self._socket.connect(("127.0.0.1", page.port))
        self._socket.settimeout(0.2)
        last = f"Last-Event-ID: {position}\r\n" if position else ""
        taken = f"Accept-Encoding: {accept}\r\n" if accept else ""
        request = f"GET /api/live{query} HTTP/1.1\r\nHost: {page.host}\r\n{taken}{last}\r\n"
        self._socket.sendall(request.encode())
        self._raw = b""
        self._latest = 0
        self._cut = False
        self.position = ""

    def read(self) -> list[dict[str, Any]]:
        """All messages so far."""
        self._receive()
        messages = []
        for line in self._raw[: self._raw.rfind(b"\n\n") + 1].splitlines():
            if line.startswith(b"id: "):
                self.position = line[4:].decode()
            if line.startswith(b"data: "):
                messages.append(json.loads(line[6:]))
        return messages

    def types(self) -> list[str]:
        return [message["type"] for message in self.read()]

    def latest(self, stream: str) -> int:
        """The last segment told of a stream; forgets what was read."""
        segments = [m["segment"] for m in self.read() if m.get("stream") == stream]
        self._raw = self._raw[self._raw.rfind(b"\n\n") :]
        self._latest = max([self._latest, *segments])
        return self._latest

    def has_ended(self) -> bool:
        """Whether the page has said that this is all, or the kernel has cut the connection."""
        self._receive()
        return self._cut or self._raw.endswith(b"0\r\n\r\n")

    def _receive(self) -> None:
        try:
            while part := self._socket.recv(1 << 16):
                self._raw += part
        except TimeoutError:
            pass
        except ConnectionResetError:
            self._cut = True

    def close(self) -> None:
        self._socket.close()


@contextmanager
def told(
    page: PageProcess, position: str = "", query: str = "", *, small: bool = False
) -> Iterator[Told]:
    client = Told(page, position, query, small=small)
    try:
        yield client
    finally:
        client.close()


def test_it_begins_with_hello_and_the_last_two_minutes(
    daemon: Daemon, page: PageProcess, tmp_path: Path
) -> None:
    daemon.tell(emotion("neutral", kind="final", stream="before"))
    until(lambda: page.ask("/api/events?stream=before")["events"], "it is in the journal")
    with page_of(daemon, tmp_path) as late, told(late) as client:
        until(lambda: "ready" in client.types(), "ready")
        first, *rest = client.read()
        assert first["type"] == "hello"
        assert first["endpoint"] == daemon.endpoint
        assert "before" in [message.get("stream") for message in rest]


def test_events_come_as_they_were_published(daemon: Daemon, page: PageProcess) -> None:
    with told(page) as client:
        until(lambda: "ready" in client.types(), "ready")
        daemon.tell(status("speech"), emotion("sad", segment=41))
        until(lambda: [m for m in client.read() if m.get("segment") == 41], "the event")
        (event,) = [m for m in client.read() if m.get("segment") == 41]
        assert event["scores"]["sad"] == 0.8
        assert event["latency_ms"]["total"] > 0


def test_who_takes_it_packed_gets_less_and_at_once(daemon: Daemon, page: PageProcess) -> None:
    def told_long() -> int:
        daemon.tell(*(emotion("sad", segment=n, stream="long") for n in range(50)))
        return str(plain.read()).count("'long'")

    with told(page) as plain:
        until(lambda: told_long() > 100, "it is told")
    connection = http.client.HTTPConnection("127.0.0.1", page.port, timeout=PATIENCE_S)
    connection.request("GET", "/api/live", headers={"Host": page.host, "Accept-Encoding": "gzip"})
    response = connection.getresponse()
    assert response.getheader("content-encoding") == "gzip"
    unpack, packed, body = zlib.decompressobj(31), b"", b""
    try:
        for event, words in ((status(), b'"ready"'), (emotion(stream="new"), b'"new"')):
            daemon.tell(event)
            while words not in body:
                packed += (part := response.read1())
                body += unpack.decompress(part)
    finally:
        connection.close()
    assert body.count(b'"long"') > 100
    assert len(packed) < len(body) / 4


def test_where_nothing_comes_a_beat_shows_that_the_connection_stands() -> None:
    async def beaten() -> None:
        beat = asyncio.Event()

        async def send(message: Any) -> None:
            if b'data: {"type":"beat"}\n\n' in message.get("body", b""):
                beat.set()

        async def receive() -> dict[str, str]:  # the browser goes once it has heard it
            await beat.wait()
            return {"type": "http.disconnect"}

        response = LiveResponse(Hub(), {}, None, beat_s=0.01)
        await asyncio.wait_for(response({"headers": []}, receive, send), PATIENCE_S)

    asyncio.run(beaten())


def test_who_comes_again_gets_what_came_meanwhile_and_nothing_twice(
    daemon: Daemon, page: PageProcess
) -> None:
    with told(page) as client:
        until(lambda: "ready" in client.types(), "ready")
        position = client.position
    daemon.tell(fault("while away"))
    until(lambda: "while away" in str(page.ask("/api/events?topic=fault.")), "it is published")
    for header, query in ((position, ""), ("", f"?since={position}")):
        with told(page, header, query) as again:
            until(lambda again=again: "while away" in str(again.read()), "what came meanwhile")
            assert "hello" not in again.types()
            assert str(again.read()).count("while away") == 1


def test_what_many_streams_say_in_passing_pushes_nothing_out_that_a_new_tab_shows() -> None:
    hub, passing = Hub(), status()
    hub.take(passing, encode(passing))
    hub.take(shown := emotion("happy"), encode(shown))
    for _ in range(MAX_MESSAGES):
        hub.take(passing, encode(passing))
    assert hub.behind(0) is None
    assert b"happy" in hub.snapshot()
    assert hub.snapshot().count(b'"status"') == 1


def test_a_position_of_another_run_or_none_at_all_begins_anew(page: PageProcess) -> None:
    for position in ("0:1", "nonsense", "feedbeef:99999999999999999999"):
        with told(page, position) as client:
            until(lambda client=client: "hello" in client.types(), "hello")


def test_a_daemon_that_goes_and_comes_is_told(daemon: Daemon, page: PageProcess) -> None:
    with told(page) as client:
        until(lambda: "ready" in client.types(), "ready")

        def links() -> list[bool]:
            return [m["heard"] for m in client.read() if m["type"] == "link"]

        daemon.tell(status())
        until(lambda: page.get("/healthz")[0] == 200, "heard")
        daemon.stop()
        until(lambda: links()[-1:] == [False], "gone")
        assert page.get("/healthz")[0] == 503
        with told(page) as late:
            until(lambda: "ready" in late.types(), "ready")
            assert late.read()[0]["link"]["time"] == client.read()[-1]["time"]
        daemon.again()

        def back() -> bool:
            daemon.tell(status(uptime_s=1))
            return links()[-1:] == [True]

        until(back, "back")
        daemon.tell(fault("after the restart"))
        until(lambda: "after the restart" in str(client.read()), "what it says then")


def test_a_daemon_whose_clock_is_wrong_is_heard(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = SimpleNamespace(time=lambda: time.time() - 600, monotonic=time.monotonic)
    monkeypatch.setattr(numbering, "time", clock)
    late = Daemon(f"ipc://{folder}/late.sock", folder / "late.db")
    try:
        with page_of(late, tmp_path) as page, told(page) as client:

            def heard() -> bool:
                late.tell(status(), emotion("sad", segment=41))
                return 41 in [message.get("segment") for message in client.read()]

            until(heard, "what it says")
            assert page.get("/healthz")[0] == 200
            with told(page) as another:
                until(lambda: "hello" in another.types(), "hello")
                hello = another.read()[0]
            for at in (hello["time"], hello["link"]["time"]):
                assert abs(at - (time.time() - 600)) < 300
            late.stop()
            until(lambda: client.read()[-1]["type"] == "link", "it is gone")
            assert client.read()[-1]["time"] < time.time() - 300
    finally:
        late.stop()


def test_what_a_clock_that_was_put_back_has_made_the_future_is_not_the_present(
    folder: Path, tmp_path: Path
) -> None:
    now = time.time()
    entries = [(now + s, emotion("sad", segment=n, kind="final")) for s, n in ((-9, 1), (3600, 2))]
    write_journal(folder / "ahead.db", entries)
    daemon = Daemon(f"ipc://{folder}/ahead.sock", folder / "ahead.db")
    try:
        with page_of(daemon, tmp_path) as page, told(page) as client:
            until(lambda: "ready" in client.types(), "what it holds")
            assert [m["segment"] for m in client.read() if m["type"] == "emotion"] == [1]
            assert len(page.ask("/api/events?topic=emotion.")["events"]) == 2
    finally:
        daemon.stop()


def test_levels_are_asked_for_only_while_a_browser_looks(daemon: Daemon, page: PageProcess) -> None:
    def subscriptions() -> int:
        daemon.tell(status())  # of one that says nothing no levels are wanted
        return daemon.publisher.subscriptions

    until(lambda: subscriptions() == AT_REST, "nobody looks")
    with told(page) as client:
        until(lambda: "ready" in client.types(), "ready")
        until(lambda: subscriptions() > AT_REST, "levels are asked for")
    until(lambda: subscriptions() == AT_REST, "nobody asks for them any more")


def test_one_that_reads_no_more_holds_nobody_up(daemon: Daemon, page: PageProcess) -> None:
    with told(page) as reads, told(page, small=True) as stalled:
        until(lambda: "ready" in reads.types(), "ready")
        for number in range(1, 20_001):  # more than the ring and the kernel's buffers hold
            daemon.tell(emotion(segment=number, stream="loud", label="sad", end=float(number)))
            if number % 500 == 0:
                until(
                    lambda number=number: reads.latest("loud") == number, "who reads gets it"
                )  # fmt: skip
        until(lambda: stalled.has_ended(), "who does not read is told no more")
        assert stalled.latest("loud") < 20_000
    with told(page) as again:
        until(lambda: "ready" in again.types(), "and begins anew")
        assert again.latest("loud") == 20_000


def test_it_ends_when_told_to_although_a_browser_looks(daemon: Daemon, tmp_path: Path) -> None:
    with page_of(daemon, tmp_path) as page, told(page) as client:
        until(lambda: "ready" in client.types(), "ready")
        page.process.terminate()
        assert page.process.wait(PATIENCE_S) == 0
        assert "Traceback" not in page.said()
        until(client.has_ended, "the browser is let go")
