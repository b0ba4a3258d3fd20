"""The bridge's figures over HTTP: the same door as the daemon's."""

from __future__ import annotations

import os
import socket
import struct
import subprocess
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, closing, suppress

import pytest

from edgeser.bridges.figures import Figures, serve
from edgeser.errors import UserError
from edgeser.metrics_server import MAX_CONNECTIONS, MetricsServer
from tests.bridges.commands import PATIENCE_S, until
from tests.system.daemons import edgeser


@pytest.fixture
def server() -> Iterator[MetricsServer]:
    with closing(
        serve(Figures(handed_over=7), "127.0.0.1:0", "mqtt", "broker", ["sensor.lan:9465"])
    ) as server:
        yield server


def get(server: MetricsServer, path: str, host: str | None = None) -> tuple[int, str]:
    headers = {} if host is None else {"Host": host}
    request = urllib.request.Request(f"http://127.0.0.1:{server.port}{path}", headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=PATIENCE_S) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def test_figures_build_and_process(server: MetricsServer) -> None:
    status, page = get(server, "/metrics")
    assert status == 200
    assert "edgeser_mqtt_events_total 7.0" in page
    assert "edgeser_build_info{" in page
    assert "process_open_fds" in page
    command = ["promtool", "check", "metrics"]
    done = subprocess.run(command, input=page, capture_output=True, text=True)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")
    assert get(server, "/healthz") == (404, "there is /metrics\n")


def test_a_request_that_names_another_host_reads_nothing(server: MetricsServer) -> None:
    status, page = get(server, "/metrics", host="evil.example")
    assert (status, "edgeser_" in page) == (421, False)
    assert get(server, "/metrics", host="Sensor.lan:9465")[0] == 200
    assert get(server, "/metrics", host=f"localhost:{server.port}")[0] == 200


def test_an_address_in_use_is_named(server: MetricsServer) -> None:
    with pytest.raises(UserError, match=r"mqtt\.metrics: cannot use"):
        serve(Figures(), f"127.0.0.1:{server.port}", "mqtt", "broker")


def test_beyond_loopback_it_must_be_said_by_what_name_it_is_asked() -> None:
    env = {**os.environ, "EDGESER_MQTT_METRICS": "0.0.0.0:9465"}
    assert "mqtt.metrics: 0.0.0.0:9465 is open" in edgeser("bridge", "mqtt", env=env).refusal


def test_who_never_comes_to_the_end_holds_up_others_for_a_while(server: MetricsServer) -> None:
    address = ("127.0.0.1", server.port)
    with ExitStack() as stack:
        held = [
            stack.enter_context(socket.create_connection(address)) for _ in range(MAX_CONNECTIONS)
        ]
        until(lambda: threads() == MAX_CONNECTIONS)
        with socket.create_connection(address) as one_more:
            assert one_more.recv(1) == b""

        def is_cut() -> bool:
            with suppress(OSError):
                for connection in held:
                    connection.sendall(b"G")
            return threads() == 0

        until(is_cut)
    assert get(server, "/metrics")[0] == 200


def test_who_breaks_off_is_no_news(
    server: MetricsServer, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    for begun in (b"", b"GET /met", b"GET / HTTP/1.1\r\n\r\n") * 5:
        with socket.create_connection(("127.0.0.1", server.port)) as connection:
            connection.sendall(begun)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        until(lambda: threads() == 0)
    assert get(server, "/metrics")[0] == 200
    assert (capfd.readouterr().err, caplog.text) == ("", "")


def threads() -> int:
    """How many connections are served."""
    return sum("process_request_thread" in thread.name for thread in threading.enumerate())
