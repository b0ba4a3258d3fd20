"""Network microphones: real sockets, real TLS, and clients that are good, clumsy or hostile."""

from __future__ import annotations

import os
import select
import socket
import ssl
import struct
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeser.audio.network import server as server_module
from edgeser.audio.network.address import parse_address
from edgeser.audio.network.connection import GREET_WITHIN_S, MAX_LINE_BYTES
from edgeser.audio.network.rate_limit import BURST_S, RATE, RateLimit
from edgeser.audio.network.server import (
    MIN_RECONNECT_S,
    MIN_UNAUTHENTICATED,
    NetworkServer,
    tls_context,
)
from edgeser.audio.network.tokens import digest, read_tokens
from edgeser.audio.source import AudioBlock, AudioFault, SourceError
from edgeser.errors import UserError
from edgeser.pcm import SAMPLE_RATE
from tests.certificates import certificates
from tests.patience import PATIENCE_S, until
from tests.sounds import speech

KITCHEN, HALL = "kitchen-0123456789abcdef", "hall-0123456789abcdef"
NAMES = {digest(KITCHEN.encode()): "kitchen", digest(HALL.encode()): "hall"}
TEN_S = speech()[: 10 * SAMPLE_RATE]
MICROPHONE_SH = Path(__file__).parents[2] / "examples" / "microphone.sh"


class Clock:
    """The server's time: it stands still but for what a test adds, however busy the machine is."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    time_of_server = SimpleNamespace(monotonic=clock.monotonic, sleep=time.sleep)
    monkeypatch.setattr(server_module, "time", time_of_server)
    return clock


class Heard:
    """A server that runs in a thread, and what came of each stream."""

    def __init__(self, server: NetworkServer) -> None:
        self.server = server
        self.items: dict[str, list[AudioBlock | AudioFault]] = {s.name: [] for s in server.streams}
        self.idle = threading.Event()
        self.idle.set()
        self.busy_with: str | None = None
        self.thread = threading.Thread(target=self._hear, daemon=True)
        self.thread.start()

    def _hear(self) -> None:
        for stream, item in self.server.items():
            self.items[stream.name].append(item)
            self.busy_with = stream.name
            self.idle.wait(PATIENCE_S)
            self.busy_with = None

    def blocks(self, name: str) -> list[AudioBlock]:
        return [item for item in self.items[name] if isinstance(item, AudioBlock)]

    def samples(self, name: str) -> list[int]:
        heard = [block.samples for block in self.blocks(name)]
        return np.concatenate(heard).tolist() if heard else []

    def faults(self, name: str) -> list[str]:
        return [item.code for item in self.items[name] if isinstance(item, AudioFault)]

    @property
    def port(self) -> int:
        return self.server.address.port


@contextmanager
def serving(
    names: dict[bytes, str] | None = NAMES,
    tls: ssl.SSLContext | None = None,
    stall_s: float = 0.5,
) -> Iterator[Heard]:
    heard = Heard(NetworkServer(parse_address("tcp://127.0.0.1:0"), names, tls, stall_s))
    try:
        yield heard
    finally:
        for stream in heard.server.streams:
            stream.close()
        heard.thread.join(PATIENCE_S)
        assert not heard.thread.is_alive()


def device(heard: Heard, token: str | None = KITCHEN) -> socket.socket:
    connected = socket.create_connection(("127.0.0.1", heard.port), PATIENCE_S)
    if token is not None:
        connected.sendall(f"{token}\n".encode())
    return connected


def answer(connected: socket.socket) -> str:
    with connected, connected.makefile() as lines:
        return lines.readline().strip()


def test_each_device_has_its_own_stream_whole_and_at_exact_positions() -> None:
    with serving() as heard:
        for token, sound in ((KITCHEN, TEN_S), (HALL, TEN_S[::-1])):
            with device(heard, token) as connected:
                connected.sendall(sound.astype("<i2").tobytes())
                until(lambda s=sound, t=token: len(heard.samples(t[: t.index("-")])) == len(s))
        assert heard.samples("kitchen") == TEN_S.tolist()
        assert heard.samples("hall") == TEN_S[::-1].tolist()
        positions = [(b.first_sample, b.end_sample) for b in heard.blocks("kitchen")]
        assert positions[0][0] == 0
        assert all(a[1] == b[0] for a, b in pairwise(positions))


def test_bytes_may_be_cut_anywhere() -> None:
    raw = TEN_S[:2000].astype("<i2").tobytes()
    with serving() as heard, device(heard, None) as connected:
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        message = KITCHEN.encode() + b"\r\n" + raw
        for start in range(0, len(message), 333):
            connected.sendall(message[start : start + 333])
            time.sleep(0.002)
        until(lambda: heard.samples("kitchen") == TEN_S[:2000].tolist())


@pytest.mark.parametrize("encrypted", [False, True])
@pytest.mark.usefixtures("clock")  # none of it is left unread for long
def test_as_much_comes_at_once_as_is_asked_for_and_the_rest_at_the_end(
    tmp_path: Path, encrypted: bool
) -> None:
    cert, key = certificates(tmp_path)
    with serving(tls=tls_context(cert, key) if encrypted else None) as heard:
        (kitchen,) = (s for s in heard.server.streams if s.name == "kitchen")
        kitchen.frames_at_once = 5
        connected = socket.create_connection(("127.0.0.1", heard.port), PATIENCE_S)
        if encrypted:
            trusted = ssl.create_default_context(cafile=cert)
            connected = trusted.wrap_socket(connected, server_hostname="localhost")
        with connected:
            connected.sendall(KITCHEN.encode() + b"\n" + TEN_S[:320].astype("<i2").tobytes())
            until(lambda: heard.blocks("kitchen"))
            for first in range(320, 16_000 + 320, 320):
                connected.sendall(TEN_S[first : first + 320].astype("<i2").tobytes())
                time.sleep(0.002)
            until(lambda: len(heard.samples("kitchen")) > 16_320 - 5 * 320)
            connected.shutdown(socket.SHUT_WR)
            until(lambda: len(heard.samples("kitchen")) == 16_320)
        assert heard.samples("kitchen") == TEN_S[:16_320].tolist()
        assert all(len(block.samples) >= 1_400 for block in heard.blocks("kitchen")[1:-1])


def test_without_tokens_sound_comes_from_the_first_byte() -> None:
    with serving(None) as heard, device(heard, None) as connected:
        connected.sendall(TEN_S.astype("<i2").tobytes())
        until(lambda: heard.samples("network") == TEN_S.tolist())


def test_one_that_goes_is_a_fault_and_time_goes_on_without_it(clock: Clock) -> None:
    with serving() as heard:
        with device(heard) as connected:
            connected.sendall(TEN_S[:1600].tobytes())
            until(lambda: len(heard.samples("kitchen")) == 1600)
        until(lambda: heard.faults("kitchen") == ["audio_lost"])
        clock.now += 3
        with device(heard) as connected:
            connected.sendall(TEN_S[:1600].tobytes())
            until(lambda: len(heard.samples("kitchen")) == 3200)
        assert heard.faults("kitchen")[:2] == ["audio_lost", "audio_restored"]
        assert heard.blocks("kitchen")[-1].end_sample == 1600 + 3 * SAMPLE_RATE
        (stream,) = [s for s in heard.server.streams if s.name == "kitchen"]
        assert stream.restarts == 1


def test_silence_is_a_fault_and_sound_that_was_held_back_is_not_lost(clock: Clock) -> None:
    with serving() as heard, device(heard) as connected:
        connected.sendall(TEN_S[:1600].tobytes())
        until(lambda: len(heard.samples("kitchen")) == 1600)
        assert heard.faults("kitchen") == []
        clock.now += 0.9
        until(lambda: heard.faults("kitchen") == ["audio_lost"])
        connected.sendall(TEN_S[1600:16000].tobytes())  # the same connection: nothing was missed
        until(lambda: heard.samples("kitchen") == TEN_S[:16000].tolist())
        assert heard.faults("kitchen") == ["audio_lost", "audio_restored"]
        assert heard.blocks("kitchen")[-1].end_sample == 16000


def test_a_device_that_comes_back_takes_over_from_its_dead_connection(clock: Clock) -> None:
    with serving() as heard, device(heard) as dead:
        dead.sendall(TEN_S[:1600].tobytes())
        until(lambda: len(heard.samples("kitchen")) == 1600)
        clock.now += server_module.MIN_RECONNECT_S
        until(lambda: heard.faults("kitchen") == ["audio_lost"])
        with device(heard) as connected:
            connected.sendall(TEN_S[:1600].tobytes())
            until(lambda: len(heard.samples("kitchen")) == 3200)


def test_a_connection_that_ends_while_its_device_takes_over_ends_nothing_else(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(server_module, "MIN_RECONNECT_S", 0.0)
    sound = TEN_S[:1600].tobytes()
    with serving() as heard, device(heard) as dead, device(heard, HALL) as hall:
        dead.sendall(sound)
        until(lambda: heard.faults("kitchen") == ["audio_lost"])
        with device(heard, None) as connected:
            heard.idle.clear()
            hall.sendall(sound)
            until(lambda: heard.busy_with == "hall")  # both of these are then seen at once
            connected.sendall(KITCHEN.encode() + b"\n" + sound)
            dead.close()
            heard.idle.set()
            until(lambda: len(heard.samples("kitchen")) == 3200)
            hall.sendall(sound)
            until(lambda: len(heard.samples("hall")) == 3200)


@pytest.mark.parametrize("passed_s", [0.6, 100.0])
def test_what_came_before_a_stall_is_heard_before_it(clock: Clock, passed_s: float) -> None:
    with serving(stall_s=1.0) as heard, device(heard) as connected:
        (kitchen,) = (s for s in heard.server.streams if s.name == "kitchen")
        kitchen.frames_at_once = 25  # as in speech
        connected.sendall(TEN_S[:320].tobytes())
        until(lambda: heard.blocks("kitchen"))
        connected.sendall(TEN_S[320:8000].tobytes())  # less than it waits for
        time.sleep(2 * server_module.POLL_S)
        assert len(heard.samples("kitchen")) == 320
        clock.now += passed_s
        until(lambda: heard.samples("kitchen") == TEN_S[:8000].tolist())
        assert heard.faults("kitchen") == []
        clock.now += 1.1
        until(lambda: heard.faults("kitchen"))
        assert heard.faults("kitchen") == ["audio_lost"]


def test_a_machine_that_stands_still_makes_nobody_silent(clock: Clock) -> None:
    with serving() as heard, device(heard) as connected, device(heard, HALL) as hall:
        connected.sendall(TEN_S[:1600].tobytes())
        until(lambda: len(heard.samples("kitchen")) == 1600)
        heard.idle.clear()
        hall.sendall(TEN_S[:1600].tobytes())
        until(lambda: heard.busy_with == "hall")
        connected.sendall(TEN_S[1600:3200].tobytes())
        clock.now += 100
        heard.idle.set()
        until(lambda: len(heard.samples("kitchen")) == 3200)
        assert heard.faults("kitchen") == []


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        (b"not-a-token-0123456789\n", "unknown token"),
        (b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", "unknown token"),
        (b"x" * (MAX_LINE_BYTES + 1), "the first line must be the token"),
        (KITCHEN.encode() + b"\nRIFF....WAVEfmt ", "a WAV file; send raw 16 kHz mono s16le"),
    ],
)
def test_who_is_refused_is_told_why(said: bytes, reason: str) -> None:
    with serving() as heard, device(heard, None) as connected:
        connected.sendall(said)
        assert answer(connected) == f"refused: {reason}"
        assert not heard.blocks("kitchen")


def test_a_second_one_with_the_same_token_is_refused_while_the_first_is_heard() -> None:
    with serving(stall_s=30) as heard, device(heard) as first:
        first.sendall(TEN_S[:1600].tobytes())
        until(lambda: heard.blocks("kitchen"))
        with device(heard) as second:
            assert answer(second) == "refused: 'kitchen' is connected already"


def test_strangers_are_bounded_and_cut_in_time(clock: Clock) -> None:
    with serving() as heard:
        unauthenticated = [device(heard, None) for _ in range(MIN_UNAUTHENTICATED)]
        with device(heard, None) as one_too_many:
            assert one_too_many.recv(10) == b""
        assert select.select(unauthenticated, [], [], 0)[0] == []
        clock.now += GREET_WITHIN_S
        for stranger in unauthenticated:  # who says nothing is cut
            assert stranger.recv(10) == b""
            stranger.close()
        with device(heard) as connected:
            connected.sendall(TEN_S[:1600].tobytes())
            until(lambda: heard.blocks("kitchen"))


def test_a_flood_is_held_back_to_the_pace_and_harms_no_other() -> None:
    flood = np.zeros(100 * SAMPLE_RATE, "<i2").tobytes()

    def pour() -> None:
        with socket.create_connection(("127.0.0.1", heard.port)) as hose:
            hose.sendall(f"{HALL}\n".encode())
            with suppress(OSError):  # it is cut
                hose.sendall(flood)

    began = time.monotonic()
    with serving() as heard:
        hose = threading.Thread(target=pour, daemon=True)
        hose.start()
        until(lambda: len(heard.samples("hall")) >= BURST_S * SAMPLE_RATE)
        with device(heard) as connected:
            connected.sendall(TEN_S[:16000].tobytes())
            until(lambda: heard.samples("kitchen") == TEN_S[:16000].tolist())
        taken_s = len(heard.samples("hall")) / SAMPLE_RATE
        assert taken_s <= BURST_S + RATE * (time.monotonic() - began) + 0.6
    hose.join(PATIENCE_S)
    assert not hose.is_alive()


def test_who_connects_again_may_not_send_more_than_who_stays(clock: Clock) -> None:
    with serving() as heard:
        with device(heard) as connected:
            connected.sendall(TEN_S.astype("<i2").tobytes())
            until(lambda: len(heard.samples("kitchen")) == len(TEN_S))
        until(lambda: "audio_lost" in heard.faults("kitchen"))
        clock.now += MIN_RECONNECT_S
        with device(heard) as connected, device(heard, HALL) as other:
            connected.sendall(TEN_S.astype("<i2").tobytes())
            until(lambda: len(heard.samples("kitchen")) > len(TEN_S))
            other.sendall(TEN_S.astype("<i2").tobytes())
            until(lambda: len(heard.samples("hall")) == len(TEN_S))
        taken_s = len(heard.samples("kitchen")) / SAMPLE_RATE
        assert taken_s <= BURST_S + RATE * MIN_RECONNECT_S + 0.6


@given(st.lists(st.tuples(st.floats(0, 3), st.floats(0, 3)), max_size=60))
def test_the_pace_bounds_what_is_taken(arrivals: list[tuple[float, float]]) -> None:
    limit, now, taken_s, most_s = RateLimit(0.0), 0.0, 0.0, 0.0
    for sound_s, gap_s in arrivals:
        now += gap_s
        pause_s = limit.take(sound_s, now)
        taken_s, most_s = taken_s + sound_s, max(most_s, sound_s)
        now += pause_s
        assert taken_s <= BURST_S + RATE * now + 1e-6
    assert most_s <= 3


def test_tls_carries_the_same_and_who_speaks_none_gets_nothing(tmp_path: Path) -> None:
    cert, key = certificates(tmp_path)
    trusted = ssl.create_default_context(cafile=cert)
    with serving(tls=tls_context(cert, key)) as heard:
        with socket.create_connection(("localhost", heard.port), PATIENCE_S) as plain:
            plain.sendall(KITCHEN.encode() + b"\n" + bytes(1000))
            with suppress(ConnectionError):
                plain.recv(1000)
            assert not heard.samples("kitchen")
        plain_tcp = socket.create_connection(("127.0.0.1", heard.port), PATIENCE_S)
        with trusted.wrap_socket(plain_tcp, server_hostname="localhost") as connected:
            connected.sendall(KITCHEN.encode() + b"\n" + TEN_S.astype("<i2").tobytes())
            until(lambda: heard.samples("kitchen") == TEN_S.tolist())


def test_nothing_of_a_record_waits_for_the_next(tmp_path: Path) -> None:
    cert, key = certificates(tmp_path)
    trusted = ssl.create_default_context(cafile=cert)
    sound = TEN_S[:12_800]
    with serving(tls=tls_context(cert, key), stall_s=PATIENCE_S) as heard:
        plain = socket.create_connection(("127.0.0.1", heard.port), PATIENCE_S)
        with trusted.wrap_socket(plain, server_hostname="localhost") as connected:
            connected.sendall(KITCHEN.encode() + b"\n")
            until(lambda: heard.server.streams[0].is_connected)
            heard.idle.clear()
            connected.sendall(TEN_S[:1].astype("<i2").tobytes())
            until(lambda: heard.busy_with)
            for half in np.split(sound, 2):  # both are there before either is read
                connected.sendall(half.astype("<i2").tobytes())
            heard.idle.set()
            until(lambda: len(heard.samples("kitchen")) == 1 + len(sound))


@pytest.mark.parametrize("said", [b"", b"GET / HTTP/1.1\r\n\r\n"])
def test_who_resets_before_tls_begins_ends_nothing(
    tmp_path: Path, said: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    cert, key = certificates(tmp_path)
    server = NetworkServer(parse_address("tcp://127.0.0.1:0"), NAMES, tls_context(cert, key), 0.5)
    where = ("127.0.0.1", server.address.port)
    for _ in range(3):  # before anybody is accepted
        with socket.create_connection(where, PATIENCE_S) as hasty:
            hasty.sendall(said)
            hasty.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    heard = Heard(server)
    try:
        trusted = ssl.create_default_context(cafile=cert)
        plain = socket.create_connection(where, PATIENCE_S)
        with trusted.wrap_socket(plain, server_hostname="localhost") as connected:
            connected.sendall(KITCHEN.encode() + b"\n" + TEN_S.astype("<i2").tobytes())
            until(lambda: heard.samples("kitchen") == TEN_S.tolist())
        assert "127.0.0.1 is not let in: was cut" in caplog.text
    finally:
        for stream in server.streams:
            stream.close()
        heard.thread.join(PATIENCE_S)


@pytest.mark.parametrize("end", ["\n", ""], ids=["newline", "no newline"])
def test_the_shell_example_sends_over_tls_and_comes_back(
    end: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server_module, "IDLE_TIMEOUT_S", PATIENCE_S)
    cert, key = certificates(tmp_path)
    (tmp_path / "raw").write_bytes(TEN_S.astype("<i2").tobytes())
    (tmp_path / "token").write_text(f"{KITCHEN}{end}")
    with serving(tls=tls_context(cert, key), stall_s=PATIENCE_S) as heard:
        where = f"localhost:{heard.port}"
        sender = subprocess.Popen(
            [MICROPHONE_SH, where, tmp_path / "token", cert],
            env={**os.environ, "RECORD": f"cat {tmp_path / 'raw'}"},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            until(lambda: len(heard.samples("kitchen")) == len(TEN_S))
            with monkeypatch.context() as patch:  # it says no more, and is cut
                patch.setattr(server_module, "IDLE_TIMEOUT_S", 0.1)
                until(lambda: heard.faults("kitchen"))
            until(lambda: len(heard.samples("kitchen")) >= 2 * len(TEN_S))  # connected again
            assert heard.samples("kitchen")[: len(TEN_S)] == TEN_S.tolist()
            assert heard.faults("kitchen")[:2] == ["audio_lost", "audio_restored"]
        finally:
            os.killpg(sender.pid, 9)
            sender.wait()


@pytest.mark.parametrize("missing", ["token", "cert.pem"])
def test_the_shell_example_ends_when_a_file_is_missing(missing: str, tmp_path: Path) -> None:
    for name in {"token", "cert.pem"} - {missing}:
        (tmp_path / name).write_text("something\n")
    command = [MICROPHONE_SH, "localhost:1", tmp_path / "token", tmp_path / "cert.pem"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S)
    assert done.returncode == 2
    assert f"{missing} " in done.stderr.splitlines()[-1]


def test_tokens_are_read_and_a_wrong_file_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "tokens"
    file.write_text(f"# ours\n\nkitchen {KITCHEN}\nupper hall  {HALL}\n")
    file.chmod(0o640)
    assert list(read_tokens(file).values()) == ["kitchen", "upper hall"]
    file.chmod(0o644)
    with pytest.raises(SourceError, match="others may read it"):
        read_tokens(file)
    file.chmod(0o600)
    wrong = {
        "kitchen short": "line 1: expected a token",
        KITCHEN: "line 1: expected a name",
        f"a {KITCHEN}\na {HALL}": "line 2: its name or token was there",
        f"a {KITCHEN}\nb {KITCHEN}": "line 2: its name or token was there",
        "# none": "expected 1 to 1000, got 0",
    }
    for text, message in wrong.items():
        file.write_text(text)
        with pytest.raises(SourceError, match=message):
            read_tokens(file)
    with pytest.raises(SourceError, match="No such file"):
        read_tokens(tmp_path / "none")


def test_an_address_in_use_and_a_key_of_another_certificate_are_refused(tmp_path: Path) -> None:
    in_use = pytest.raises(SourceError, match="cannot listen there: Address already in use")
    with serving(None) as heard, in_use:
        NetworkServer(heard.server.address, None, None, 1.5)
    (tmp_path / "other").mkdir()
    cert, _ = certificates(tmp_path)
    _, key = certificates(tmp_path / "other")
    with pytest.raises(SourceError, match="name a PEM certificate and its own key"):
        tls_context(cert, key)


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("tcp://0.0.0.0:7790", "in the clear; use tls://0.0.0.0:7790"),
        ("tcp://*:7790", "in the clear"),
        ("tcp://kitchen", "expected tcp://HOST:PORT"),
        ("tls://a:99999", "expected tls://HOST:PORT"),
    ],
)
def test_addresses_that_are_refused(address: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        parse_address(address)
