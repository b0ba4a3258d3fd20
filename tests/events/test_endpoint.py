"""Only endpoints that make sense and that other machines cannot reach are published at."""

from __future__ import annotations

import pytest

from edgeser.errors import UserError
from edgeser.events.wire.endpoint import parse_bind_endpoint, parse_connect_endpoint


@pytest.mark.parametrize(
    ("text", "bound"),
    [
        ("ipc:///run/edgeser/events.sock", "ipc:///run/edgeser/events.sock"),
        ("ipc://events.sock", "ipc://events.sock"),
        ("tcp://127.0.0.1:5555", "tcp://127.0.0.1:5555"),
        ("tcp://127.5.5.5:5555", "tcp://127.5.5.5:5555"),
        ("tcp://localhost:5555", "tcp://127.0.0.1:5555"),
        ("tcp://[::1]:5555", "tcp://[::1]:5555"),
        ("tcp://127.0.0.1:*", "tcp://127.0.0.1:*"),
        ("tcp://127.0.0.1:0", "tcp://127.0.0.1:*"),
    ],
)
def test_what_may_be_bound(text: str, bound: str) -> None:
    assert str(parse_bind_endpoint(text)) == bound


@pytest.mark.parametrize(
    "hosts",
    ["* 0.0.0.0 192.168.1.7 [::] [fe80::1] [::ffff:192.168.1.7]", "example.org lo eth0 127.1 0"],
)
def test_tcp_beyond_loopback_is_refused_and_curve_named(hosts: str) -> None:
    for host in hosts.split():
        with pytest.raises(UserError, match="CURVE") as caught:
            parse_bind_endpoint(f"tcp://{host}:5555")
        assert host in str(caught.value)
        assert "\n" not in str(caught.value)


NO_ENDPOINTS = [
    *("", "5555", "127.0.0.1:5555", "/run/events.sock", "ipc:/run/e.sock", "udp://127.0.0.1:5"),
    *("inproc://events", "pgm://eth0;239.0.0.1:5555", "ws://127.0.0.1:80", "IPC:///x"),
    *(
        "ipc://",
        "ipc://*",
        "ipc://@abstract",
        "ipc:///run/edgeser/",
        "ipc://.",
        "ipc:///a\0b",
        "ipc:///a\nb",
    ),
    *("tcp://", "tcp://:5555", "tcp://127.0.0.1", "tcp://127.0.0.1:", "tcp://127.0.0.1:http"),
    *("tcp://127.0.0.1:65536", "tcp://127.0.0.1:-1", "tcp://127.0.0.1:5 5", "tcp://127.0.0.1:٣"),
    *("tcp://münchen:5555", "tcp://-x:5555", "tcp://a+b:5555"),
    *("tcp://::1:5555", "tcp://lo;127.0.0.1:5555", "tcp://127.0.0.1:" + "9" * 5000),
]


@pytest.mark.parametrize("text", NO_ENDPOINTS, ids=range(len(NO_ENDPOINTS)))
def test_what_is_no_endpoint_is_refused_in_one_line(text: str) -> None:
    for parse in (parse_bind_endpoint, parse_connect_endpoint):
        with pytest.raises(UserError) as caught:
            parse(text)
        assert "\n" not in str(caught.value)


def test_a_unix_socket_has_a_path_of_at_most_107_bytes() -> None:
    parse_bind_endpoint("ipc:///" + "a" * 106)
    with pytest.raises(UserError, match="108 bytes"):
        parse_bind_endpoint("ipc:///" + "a" * 107)
    with pytest.raises(UserError, match="bytes"):
        parse_bind_endpoint("ipc:///" + "ä" * 54)


def test_a_subscriber_may_look_elsewhere_but_needs_a_port() -> None:
    for host in ("device.local", "[fe80::1%eth0]", "xn--mnchen-3ya.de", "host_name", "10.0.0.7"):
        assert str(parse_connect_endpoint(f"tcp://{host}:5555")) == f"tcp://{host}:5555"
    for text in ("tcp://*:5555", "tcp://127.0.0.1:*", "tcp://127.0.0.1:0"):
        with pytest.raises(UserError):
            parse_connect_endpoint(text)
