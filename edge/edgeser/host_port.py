"""``HOST:PORT``, and whether a host is this machine."""

from __future__ import annotations

import ipaddress

_NOT_IN_HOSTS = frozenset("/?#@;,[] ")


def split_host_port(text: str, default_port: int | None = None) -> tuple[str, int] | None:
    """Host and port, 0 to 65535; None for any other text.

    An IPv6 address, and nothing else, is written in brackets; the host returned has none.
    ``default_port``: for a text without a port.
    """
    written, colon, port = text.rpartition(":")
    if default_port is not None and (not colon or text.endswith("]")):
        written, port = text, str(default_port)
    host, number = written.removeprefix("[").removesuffix("]"), _parse_port(port)
    is_host = host.isprintable() and _NOT_IN_HOSTS.isdisjoint(host) and bracketed(host) == written
    return (host, number) if host and is_host and number is not None else None


def bracketed(host: str) -> str:
    """A host as it stands before a port: an IPv6 address has brackets there."""
    return f"[{host}]" if ":" in host else host


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach a host. Of names only ``localhost`` counts."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _parse_port(text: str) -> int | None:
    is_number = text.isascii() and text.isdecimal() and len(text) <= 5
    return int(text) if is_number and int(text) <= 65_535 else None
