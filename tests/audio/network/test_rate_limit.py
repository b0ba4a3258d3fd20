"""How fast a device may send."""

from __future__ import annotations

import socket
import threading
import time
from contextlib import suppress

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from edgeser.audio.network.rate_limit import BURST_S, RATE, RateLimit
from edgeser.audio.network.server import (
    MIN_RECONNECT_S,
)
from edgeser.pcm import SAMPLE_RATE
from tests.audio.network.serving import HALL, TEN_S, Clock, device, serving
from tests.patience import PATIENCE_S, until


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


def test_reconnecting_does_not_let_a_device_send_more(clock: Clock) -> None:
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
