"""Addresses at which events are published: what they mean, and which of them are allowed."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from edgeser.errors import UserError
from edgeser.host_port import bracketed, is_loopback, split_host_port

MAX_IPC_BYTES = 107
"""Longest path of a Unix socket on Linux (``sun_path`` less its closing zero)."""

REPLAY_SUFFIX = ".replay"

_HOST = re.compile(r"\*|[0-9A-Za-z:][0-9A-Za-z.:%_-]*")
"""What libzmq takes for a host; other letters of a name are xn--... in DNS."""

_EXAMPLES = "use ipc:///path/to/socket or tcp://127.0.0.1:5555"


@dataclass(frozen=True)
class IpcEndpoint:
    """A Unix socket in the file system; its permissions decide who may connect."""

    path: Path

    def __str__(self) -> str:
        return f"ipc://{self.path}"

    @property
    def lock_path(self) -> Path:
        """The lock of the daemon that publishes there."""
        return self.path.with_name(f"{self.path.name}.lock")

    @property
    def mute_path(self) -> Path:
        """The socket on which that daemon takes requests to mute."""
        return self.path.with_name(f"{self.path.name}.mute")


@dataclass(frozen=True)
class TcpEndpoint:
    """A TCP address: ``host`` is a numeric address, ``*`` or a name; port 0 means any free one."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"tcp://{bracketed(self.host)}:{self.port or '*'}"

    @property
    def is_ipv6(self) -> bool:
        return ":" in self.host

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach it. A name that needs a look-up does not count."""
        return is_loopback(self.host)


Endpoint: TypeAlias = IpcEndpoint | TcpEndpoint


def parse_endpoint(text: str) -> Endpoint:
    """Parse an endpoint. Raises ``UserError``."""
    if not text.isprintable():
        raise UserError(f"endpoint {text!r}: it contains a character that cannot be printed")
    scheme, separator, address = text.partition("://")
    if separator and scheme == "ipc":
        return _parse_ipc(text, address)
    if separator and scheme == "tcp":
        return _parse_tcp(text, address)
    raise UserError(f"endpoint {text!r}: expected ipc:// or tcp://", _EXAMPLES)


def parse_bind_endpoint(text: str, *, encrypted: bool = False) -> Endpoint:
    """An endpoint at which this machine may publish.

    Raises ``UserError`` for a TCP address that other machines could reach, unless it is
    ``encrypted``: events would travel unencrypted to anybody who asks.
    """
    endpoint = parse_endpoint(text)
    if isinstance(endpoint, TcpEndpoint) and not endpoint.is_loopback and not encrypted:
        raise UserError(
            f"endpoint {text!r}: TCP beyond loopback needs CURVE keys and none are configured",
            f"use tcp://127.0.0.1:{endpoint.port or '*'} or an ipc:// socket, or "
            "see docs/security.md",
        )
    return endpoint


def parse_connect_endpoint(text: str) -> Endpoint:
    """An endpoint to which a subscriber can connect. Raises ``UserError``."""
    endpoint = parse_endpoint(text)
    if isinstance(endpoint, TcpEndpoint) and (endpoint.host == "*" or endpoint.port == 0):
        raise UserError(f"endpoint {text!r}: a subscriber needs a host and a port", _EXAMPLES)
    return endpoint


def replay_endpoint(endpoint: Endpoint) -> Endpoint:
    """The endpoint for replay of what is published at ``endpoint``.

    The socket beside it, or the next port. Raises ``UserError`` where there is none.
    """
    if isinstance(endpoint, IpcEndpoint):
        return _parse_ipc(str(endpoint), f"{endpoint.path}{REPLAY_SUFFIX}")
    if endpoint.port >= 65535:
        raise UserError(
            f"endpoint '{endpoint}': the port above it is needed too", "use a lower one"
        )
    return TcpEndpoint(endpoint.host, endpoint.port + 1)


def _parse_ipc(text: str, address: str) -> IpcEndpoint:
    if address.startswith("@"):
        raise UserError(
            f"endpoint {text!r}: an abstract socket has no permissions", "use a path: ipc:///path"
        )
    if address == "*" or address.endswith("/") or not Path(address).name:
        raise UserError(f"endpoint {text!r}: expected the path of a socket", _EXAMPLES)
    length = len(address.encode("utf-8", "surrogateescape"))
    if length > MAX_IPC_BYTES:
        raise UserError(
            f"endpoint {text!r}: its path has {length} bytes and a Unix socket's path at most "
            f"{MAX_IPC_BYTES}, with '{REPLAY_SUFFIX}'",
            "use a shorter folder",
        )
    return IpcEndpoint(Path(address))


def _parse_tcp(text: str, address: str) -> TcpEndpoint:
    found = split_host_port(f"{address[:-1]}0" if address.endswith(":*") else address)
    if found is None:
        raise UserError(
            f"endpoint {text!r}: expected tcp://HOST:PORT",
            "use tcp://127.0.0.1:5555, or tcp://[::1]:5555 for IPv6",
        )
    host, port = found
    if not _HOST.fullmatch(host):
        raise UserError(
            f"endpoint {text!r}: '{host}' is no host's name in ASCII",
            "use its address, or its name as DNS has it (xn--...)",
        )
    # libzmq does not look names up when it binds, and may take ::1 when it connects.
    return TcpEndpoint("127.0.0.1" if host == "localhost" else host, port)
