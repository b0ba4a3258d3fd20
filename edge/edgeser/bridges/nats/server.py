"""The address of a NATS server, and our login there. Needs no NATS library."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING, Literal

import msgspec

from edgeser.bridges.credentials import read_password, refuse_login, tls_context
from edgeser.errors import UserError
from edgeser.host_port import bracketed, split_host_port
from edgeser.paths import expanded
from edgeser.regular_file import regular

if TYPE_CHECKING:
    from edgeser.settings.schema import LakeSettings, NatsSettings


class Server(msgspec.Struct, frozen=True):
    """The server's address, and our login there."""

    host: str
    port: int
    tls: bool = False
    ca: str | None = None
    credentials: str | None = None
    user: str | None = None
    password_file: str | None = None

    def __str__(self) -> str:
        return f"NATS server {bracketed(self.host)}:{self.port}"

    @property
    def url(self) -> str:
        """The URL for the NATS library."""
        return f"{'tls' if self.tls else 'nats'}://{bracketed(self.host)}:{self.port}"

    def password(self) -> str | None:
        """The password of ``user``. Raises UserError."""
        return None if self.password_file is None else read_password(self.password_file)

    def tls_context(self) -> ssl.SSLContext | None:
        """How the server's certificate is verified; None without TLS. Raises UserError."""
        return tls_context(self.ca) if self.tls else None

    def credentials_path(self) -> str | None:
        """A file of a JWT and its key. Raises UserError where it cannot be read."""
        if self.credentials is None:
            return None
        path = expanded(self.credentials)
        try:
            text = regular(path).read_text("utf-8")
        except (OSError, UnicodeDecodeError) as error:
            why = error.strerror if isinstance(error, OSError) else "it is no text"
            raise UserError(
                f"credentials {path}: {why}", "name a file that this user may read"
            ) from error
        if "NATS USER JWT" not in text or "SEED" not in text:
            raise UserError(
                f"credentials {path}: holds no JWT with its key", "name a .creds file, as nsc makes"
            )
        return str(path)

    def check(self) -> None:
        """Check that our own files can be used. Raises UserError."""
        self.password()
        self.tls_context()
        self.credentials_path()


def parse_url(text: str) -> tuple[str, int, bool]:
    """Host, port, and whether TLS is wanted, of ``nats://HOST[:PORT]`` or ``tls://HOST[:PORT]``.

    Raises UserError.
    """
    refuse_login("NATS server", text)
    scheme, separator, rest = text.partition("://")
    if not separator:
        scheme, rest = "nats", text
    host, port = split_host_port(rest, 4222) or ("", 0)
    if port == 0 or scheme not in ("nats", "tls"):
        raise UserError(
            f"NATS server {text!r}: expected nats://HOST or tls://HOST",
            "e.g. tls://hub.example:4222, or nats://[::1] for IPv6",
        )
    return host, port, scheme == "tls"


def server_of(
    url: str,
    *,
    ca: str | None = None,
    credentials: str | None = None,
    user: str | None = None,
    password_file: str | None = None,
) -> Server:
    """The server with our login. Raises UserError for options that contradict each other."""
    host, port, tls = parse_url(url)
    if ca is not None and not tls:
        raise UserError(f"NATS server {url}: a CA, but no TLS", f"use tls://{host}:{port}")
    if password_file is not None and user is None:
        raise UserError("a password file, but no user", "name the user as well")
    if credentials is not None and user is not None:
        raise UserError("both credentials and a user", "leave one of them out")
    return Server(host, port, tls, ca, credentials, user, password_file)


_COMMANDS = {"nats": "bridge nats", "lake": "lake fill"}


def from_settings(wanted: NatsSettings | LakeSettings, table: Literal["nats", "lake"]) -> Server:
    """The server that a table of the settings names. Raises UserError where it names none."""
    if wanted.server is None:
        raise UserError(
            f"{table}.server: no server is named",
            f"edgeser {_COMMANDS[table]} tls://HOST, or set it in the [{table}] table of the "
            "settings",
        )
    return server_of(
        wanted.server,
        ca=wanted.ca,
        credentials=wanted.credentials,
        user=wanted.user,
        password_file=wanted.password_file,
    )
