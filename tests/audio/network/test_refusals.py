"""Clients that are clumsy or hostile: they are told why they are refused, and bounded."""

from __future__ import annotations

import select

import pytest

from edgeser.audio.network.connection import GREET_WITHIN_S, MAX_LINE_BYTES
from edgeser.audio.network.server import (
    MIN_UNAUTHENTICATED,
    NetworkServer,
)
from edgeser.audio.source import SourceError
from tests.audio.network.serving import KITCHEN, TEN_S, Clock, answer, device, serving
from tests.patience import until


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


def test_an_address_in_use_is_refused() -> None:
    in_use = pytest.raises(SourceError, match="cannot listen there: Address already in use")
    with serving(None) as heard, in_use:
        NetworkServer(heard.server.address, None, None, 1.5)
