"""The password of a bridge, and how it verifies the server's certificate."""

from __future__ import annotations

import ssl

from edgeser.errors import UserError
from edgeser.paths import expanded
from edgeser.regular_file import regular


def refuse_login(what: str, address: str) -> None:
    """Raises UserError for an address with a user or a password. It does not quote the address,
    since the message goes into logs, and into faults at a reload.
    """
    if "@" in address:
        raise UserError(
            f"{what}: its address contains a user or a password",
            "name them by user and password_file, as --user and --password-file do",
        )


def read_password(file: str) -> str:
    """The first line of a password's file. Raises UserError."""
    try:
        text = regular(expanded(file)).read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "no UTF-8"
        raise UserError(
            f"password file {file}: {why}",
            "name one that this user may read, with the password in its first line",
        ) from error
    return text.partition("\n")[0].rstrip("\r")


def tls_context(ca: str | None) -> ssl.SSLContext:
    """A context that trusts a CA's file (PEM), or the system's CAs. Raises UserError."""
    try:
        return ssl.create_default_context(cafile=ca and str(regular(expanded(ca))))
    except (OSError, ssl.SSLError) as error:
        why = "no certificates" if isinstance(error, ssl.SSLError) else error.strerror
        raise UserError(f"CA file {ca}: {why}", "name a PEM file with --ca") from error
