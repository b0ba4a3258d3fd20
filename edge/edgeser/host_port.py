"""``HOST:PORT``, and whether a host is this machine."""

from __future__ import annotations

import ipaddress


def split_host_port(text: str, default_port: int | None = None) -> tuple[str, int] | None:
    """Host, an IPv6 address without its brackets, and port, 0 to 65535; None if there is none.

    ``default_port``: for a text without a port.
    """
    host, colon, port = text.rpartition(":")
    if default_port is not None and (not colon or text.endswith("]")):
        host, port = text, str(default_port)
    host, number = host.removeprefix("[").removesuffix("]"), parse_port(port)
    return None if not host or number is None else (host, number)


def parse_port(text: str) -> int | None:
    """A port, 0 to 65535; None for anything else."""
    is_number = text.isascii() and text.isdecimal() and len(text) <= 5
    return int(text) if is_number and int(text) <= 65_535 else None


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
