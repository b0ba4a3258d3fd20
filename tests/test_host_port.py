"""``HOST:PORT`` means the same wherever it is written."""

from __future__ import annotations

import pytest

from edgeser.host_port import bracketed, is_loopback, split_host_port


@pytest.mark.parametrize(
    ("text", "default_port", "expected"),
    [
        ("localhost:80", None, ("localhost", 80)),
        ("[::1]:80", None, ("::1", 80)),
        ("hub", 4222, ("hub", 4222)),
        ("[::1]", 4222, ("::1", 4222)),
        ("[fe80::1%eth0]:80", None, ("fe80::1%eth0", 80)),
        ("hub", None, None),
        (":80", None, None),
        ("hub:", 4222, None),
        ("hub:x", 4222, None),
    ],
)
def test_a_host_and_its_port(
    text: str, default_port: int | None, expected: tuple[str, int] | None
) -> None:
    assert split_host_port(text, default_port) == expected


NO_HOSTS = ["::1", "[::1", "::1]", "[hub]", "[]", "[[::1]]", "a b", "a/b", "u@hub", "a,b", "a\0b"]


@pytest.mark.parametrize("host", NO_HOSTS)
def test_what_is_no_host(host: str) -> None:
    assert split_host_port(f"{host}:80") is None
    assert split_host_port(host, 80) is None


@pytest.mark.parametrize("host", ["::1", "127.0.0.1", "hub.example"])
def test_what_is_put_together_comes_apart_again(host: str) -> None:
    assert split_host_port(f"{bracketed(host)}:80") == (host, 80)


@pytest.mark.parametrize("text", ["", "-1", "+1", " 1", "1_0", "٣", "65536", "0000099999"])
def test_what_is_no_port(text: str) -> None:
    assert split_host_port(f"hub:{text}") is None


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.8.8.8", "::1"])
def test_this_machine_alone(host: str) -> None:
    assert is_loopback(host)


@pytest.mark.parametrize("host", ["*", "0.0.0.0", "::", "192.0.2.1", "example.org"])
def test_other_machines_too(host: str) -> None:
    assert not is_loopback(host)
