"""Encrypted sound: real TLS, and clients that know none, or end it."""

from __future__ import annotations

import socket
import ssl
import struct
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

from edgeser.audio.network.address import parse_address
from edgeser.audio.network.server import (
    NetworkServer,
    tls_context,
)
from edgeser.audio.source import SourceError
from tests.audio.network.serving import KITCHEN, NAMES, TEN_S, Heard, serving
from tests.certificates import certificates
from tests.patience import PATIENCE_S, until


def test_tls_carries_the_same_and_clients_without_it_get_nothing(tmp_path: Path) -> None:
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
def test_a_reset_before_tls_begins_ends_nothing_else(
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
        assert "127.0.0.1 is refused: was cut" in caplog.text
    finally:
        for stream in server.streams:
            stream.close()
        heard.thread.join(PATIENCE_S)


def test_a_key_of_another_certificate_is_refused(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    cert, _ = certificates(tmp_path)
    _, key = certificates(tmp_path / "other")
    with pytest.raises(SourceError, match="name a PEM certificate and its own key"):
        tls_context(cert, key)
