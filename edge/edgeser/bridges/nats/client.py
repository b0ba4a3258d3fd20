"""Connects with the NATS library, and turns its errors into one line."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import ssl
from collections.abc import Iterator

from edgeser.bridges.nats.server import Server
from edgeser.errors import UserError

try:
    import nats.errors
    import nats.js.errors
    from nats.aio.client import Client
except ImportError as error:
    raise UserError("nats-py is not installed", "pip install 'edgeser[nats]'") from error

logging.getLogger("asyncio").setLevel(logging.CRITICAL)  # it warns of the library's own tasks

CONNECT_TIMEOUT_S = 10.0
ANSWER_TIMEOUT_S = 10.0

NO_STREAM = (
    "no stream stores our subjects; 'edgeser lake fill' makes one, and docs/fleet.md says how else"
)


class NatsError(Exception):
    """The server cannot be used now; one line that names it and why."""


async def connect(server: Server, inbox: str, troubles: list[str]) -> Client:
    """Connect; a lost connection is not reconnected. Raises NatsError.

    ``inbox``: answers come to subjects below it. ``troubles``: the server's later errors are
    appended to it.
    """

    async def complain(error: Exception) -> None:
        troubles.append(words(error))

    client = Client()
    try:
        await asyncio.wait_for(
            client.connect(
                servers=[server.url],
                name="edgeser",
                inbox_prefix=inbox,
                allow_reconnect=False,
                max_reconnect_attempts=1,
                reconnect_time_wait=0,
                connect_timeout=5,
                ping_interval=20,
                error_cb=complain,
                tls=server.tls_context(),
                user=server.user,
                password=server.password(),
                user_credentials=server.credentials_path(),
            ),
            CONNECT_TIMEOUT_S,
        )
    except (nats.errors.Error, OSError, asyncio.TimeoutError, ValueError) as error:
        with contextlib.suppress(Exception):  # after a failed TLS handshake it would never return
            await asyncio.wait_for(client.close(), 1.0)
        why = troubles[-1] if troubles else words(error)
        raise NatsError(f"{server}: {why}") from None
    return client


@contextlib.contextmanager
def explained(server: Server, troubles: list[str]) -> Iterator[None]:
    """Turn the library's errors into NatsError."""
    try:
        yield
    except (nats.errors.Error, OSError, asyncio.TimeoutError) as error:
        why = words(error)
        if troubles and not isinstance(error, nats.js.errors.Error):
            why = troubles[-1]
        raise NatsError(f"{server}: {why}") from None


def words(error: Exception) -> str:
    """The error in words, with the fix if it is known."""
    text = " ".join(str(error).split())
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not trusted ({error.verify_message}); name its CA with --ca"
    if isinstance(error, ssl.SSLError):
        return f"TLS failed: {error.reason or text}"
    if isinstance(error, socket.gaierror):
        return "its name cannot be looked up"
    if isinstance(error, nats.js.errors.NoStreamResponseError):
        return NO_STREAM
    if isinstance(error, nats.js.errors.ServiceUnavailableError) and not error.description:
        return "JetStream is not switched on there; docs/fleet.md says how"
    if isinstance(error, nats.js.errors.APIError):
        return f"it takes no events: {error.description}"
    if isinstance(error, nats.errors.AuthorizationError) or "uthoriz" in text:
        return "it does not know us; check user, password or credentials"
    if isinstance(error, nats.errors.SecureConnRequiredError) or "TLS" in text.upper():
        return "it wants TLS; use tls://"
    if "expecting INFO" in text:
        return "no NATS server answers there"
    if "ermissions" in text:
        return f"we may not do that there: {text.removeprefix('nats: ')}"
    if isinstance(
        error, (asyncio.TimeoutError, nats.errors.TimeoutError, nats.errors.NoServersError)
    ):
        return "no answer"
    if isinstance(error, nats.errors.ConnectionClosedError) or "EOF" in text:
        return "the connection was lost"
    if "onnect call failed" in text or "Multiple exceptions" in text:
        return "cannot be reached"
    if isinstance(error, OSError):
        return error.strerror or text
    return text.removeprefix("nats: ") or type(error).__name__
