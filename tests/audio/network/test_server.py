"""Network microphones: real sockets, and devices that come, go and stand still."""

from __future__ import annotations

import re
import socket
import ssl
import time
from itertools import pairwise
from pathlib import Path

import pytest

from edgeser.audio import pace
from edgeser.audio.network import server as server_module
from edgeser.audio.network.server import (
    tls_context,
)
from edgeser.audio.source import AudioFault
from edgeser.pcm import SAMPLE_RATE
from tests.audio.network.serving import HALL, KITCHEN, TEN_S, Clock, device, serving
from tests.certificates import certificates
from tests.patience import PATIENCE_S, until


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


def test_a_disconnected_device_is_a_fault_and_its_time_goes_on(clock: Clock) -> None:
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


@pytest.mark.parametrize(("chunk", "came"), [(24_000, "faster"), (8_000, "slower")])
def test_a_device_that_sends_at_another_rate_is_told(
    clock: Clock, monkeypatch: pytest.MonkeyPatch, chunk: int, came: str
) -> None:
    monkeypatch.setattr(pace, "SURE_S", 3.0)
    with serving(stall_s=30) as heard, device(heard) as connected:
        for _ in range(12):
            end = len(heard.samples("kitchen")) + chunk
            connected.sendall(TEN_S[:chunk].astype("<i2").tobytes())
            until(lambda end=end: len(heard.samples("kitchen")) == end)
            clock.now += 1.0
        (told,) = (item for item in heard.items["kitchen"] if isinstance(item, AudioFault))
    assert (told.code, told.recovered) == ("audio_pace", False)
    sound_s, passed_s = re.findall(r"(\d+) s", told.message)
    assert (int(sound_s) > int(passed_s)) == (came == "faster")
    assert "network microphone 'kitchen' (127.0.0.1): " in told.message
