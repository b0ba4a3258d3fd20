"""Where network microphones connect to, and whether that is allowed."""

from __future__ import annotations

from typing import NamedTuple

from edgeser.errors import UserError
from edgeser.events.wire.endpoint import TcpEndpoint, parse_endpoint
from edgeser.host_port import bracketed


class Address(NamedTuple):
    """A TCP address to listen at; port 0 is any free one."""

    host: str
    port: int
    tls: bool

    def __str__(self) -> str:
        return f"{'tls' if self.tls else 'tcp'}://{bracketed(self.host)}:{self.port}"


def parse_address(text: str) -> Address:
    """``tcp://HOST:PORT``, which must be loopback, or ``tls://HOST:PORT``. Raises UserError."""
    scheme, _, rest = text.partition("://")
    try:
        endpoint = parse_endpoint(f"tcp://{rest}")
    except UserError:
        endpoint = None
    if not isinstance(endpoint, TcpEndpoint):
        raise UserError(
            f"source {text!r}: expected {scheme}://HOST:PORT", f"e.g. {scheme}://127.0.0.1:7790"
        )
    if scheme == "tcp" and not endpoint.is_loopback:
        raise UserError(
            f"source {text!r}: beyond this machine sound would be sent unencrypted",
            f"use tls://{rest}, or tcp://127.0.0.1:{endpoint.port} behind a tunnel",
        )
    host = "0.0.0.0" if endpoint.host == "*" else endpoint.host
    return Address(host, endpoint.port, scheme == "tls")
