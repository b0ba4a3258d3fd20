"""Who may read the page: decisions on requests, and the security headers. Pure.

Every defence in the attack list of docs/security.md depends on something here.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

from edgeser.errors import UserError
from edgeser.host_port import bracketed, is_loopback, split_host_port
from edgeser.regular_file import regular_or_shells

MIN_TOKEN = 16
"""Characters. Guessing is slow over a network, but attempts are not limited."""

COOKIE_AGE_S = 30 * 86_400

CSP = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "font-src 'self'",
        "connect-src 'self'",
        "img-src 'self' data:",
        "base-uri 'none'",
        "form-action 'self'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
    )
)

HEADERS = {
    "content-security-policy": CSP,
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    # Not "no-referrer": then a browser calls the origin of our own login form "null".
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
}


class Refusal(NamedTuple):
    """The answer to a request that is not served."""

    status: int
    reason: str


class Request(NamedTuple):
    """The parts of a request that decide. Missing headers are empty."""

    method: str
    path: str
    host: str
    origin: str = ""
    fetch_site: str = ""
    authorization: str = ""
    cookie: str = ""


@dataclass(frozen=True)
class Listen:
    """Where the page is served, and how it is reached."""

    host: str
    port: int
    proxy: str | None = None
    """The origin under which a reverse proxy serves it, e.g. ``https://home.example``."""
    tls: bool = False
    names: tuple[str, ...] = ()
    """Other names and addresses under which it is reached."""

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach it."""
        return is_loopback(self.host)

    @property
    def is_secure(self) -> bool:
        """Whether the browser sees HTTPS."""
        return self.tls or bool(self.proxy and self.proxy.startswith("https://"))

    @property
    def origins(self) -> frozenset[str]:
        """The origins by which a browser may legitimately know it."""
        if self.proxy:
            return frozenset({self.proxy})
        scheme = "https" if self.tls else "http"
        names = {self.host, *self.names}
        if self.is_loopback:
            names |= {"localhost", "127.0.0.1" if "." in self.host else "::1"}
        default = {"http": 80, "https": 443}[scheme]
        port = "" if self.port == default else f":{self.port}"
        return frozenset(f"{scheme}://{bracketed(name)}{port}" for name in names)

    @property
    def hosts(self) -> frozenset[str]:
        """Valid values of the ``Host`` header, with the port."""
        return frozenset(origin.partition("://")[2] for origin in self.origins)

    @property
    def url(self) -> str:
        """The URL to show to people."""
        if self.proxy:
            return self.proxy
        name = bracketed(self.names[0] if self.names else self.host)
        return next(o for o in sorted(self.origins) if o.partition("://")[2].startswith(name))


@dataclass(frozen=True)
class Guard:
    """Decides on requests. ``token``: the one to present; None: none is needed."""

    listen: Listen
    token: str | None = None
    _session: str = field(default_factory=lambda: secrets.token_hex(32), repr=False)

    @property
    def cookie_name(self) -> str:
        """Has the port in it, since browsers share cookies between ports of a host."""
        name = f"edgeser-page-{self.listen.port}"
        return f"__Host-{name}" if self.listen.is_secure else name

    def refusal(self, request: Request) -> Refusal | None:
        """Why a request is not served; None if it is."""
        if request.host.lower() not in self.listen.hosts:
            return Refusal(421, "this name is not served here")
        if request.origin and request.origin.lower() not in self.listen.origins:
            return Refusal(403, "requests of other sites are refused")
        is_api = request.path.startswith("/api/")
        if is_api and request.fetch_site not in ("", "same-origin", "none"):
            return Refusal(403, "requests of other sites are refused")
        allowed = ("GET", "HEAD", "POST") if request.path == "/login" else ("GET", "HEAD")
        if request.method not in allowed:
            return Refusal(405, "this page can only be read")
        if request.path in ("/login", "/healthz") or request.path.startswith("/static/"):
            return None
        return None if self.is_known(request) else Refusal(401, "a token is needed")

    def is_known(self, request: Request) -> bool:
        """Whether a request presents the token, or the cookie that was given for it."""
        if self.token is None:
            return True
        scheme, _, given = request.authorization.partition(" ")
        if scheme.lower() == "bearer" and self.is_token(given.strip()):
            return True
        pairs = (pair.strip().partition("=") for pair in request.cookie.split(";"))
        return any(
            name == self.cookie_name and _equal(value, self._cookie_value())
            for name, _, value in pairs
        )

    def is_token(self, given: str) -> bool:
        """Whether it is the token, compared in constant time."""
        return self.token is not None and _equal(given, self.token)

    def cookie(self) -> str:
        """The ``Set-Cookie`` header for a client that presented the token."""
        secure = "; Secure" if self.listen.is_secure else ""
        return (
            f"{self.cookie_name}={self._cookie_value()}; Path=/; Max-Age={COOKIE_AGE_S}; "
            f"HttpOnly; SameSite=Strict{secure}"
        )

    def _cookie_value(self) -> str:
        # Not the token itself, and invalid once this process has ended.
        token = (self.token or "").encode()
        return hmac.new(self._session.encode(), token, hashlib.sha256).hexdigest()


def parse_listen(
    text: str,
    *,
    names: tuple[str, ...] = (),
    proxy: str | None = None,
    tls: bool = False,
    token: str | None = None,
) -> Listen:
    """Where and how the page is served, from ``HOST:PORT``. Raises ``UserError``.

    Beyond loopback it needs a token, and TLS, here or at the reverse proxy ``proxy``.
    """
    found = split_host_port(text)
    if found is None:
        raise UserError(
            f"--listen {text!r}: expected HOST:PORT", "e.g. 127.0.0.1:7780, or [::1]:7780 for IPv6"
        )
    host, port = found
    if proxy is not None:
        proxy = _origin(proxy)
        if tls:
            raise UserError("--proxy and --tls-cert: the proxy speaks TLS; leave one of them out")
    listen = Listen(host.lower(), port, proxy, tls, tuple(name.lower() for name in names))
    if (proxy or not listen.is_loopback) and token is None:
        where = f"--proxy {proxy}" if proxy else f"--listen {text}"
        raise UserError(
            f"{where}: others could see the page, and it requires no token", "add --token FILE"
        )
    if not listen.is_loopback and not (tls or proxy):
        raise UserError(
            f"--listen {text}: beyond this machine the page would be sent unencrypted",
            "add --tls-cert and --tls-key, or --proxy https://NAME for a reverse proxy",
        )
    if not proxy and not names and host in ("0.0.0.0", "::"):
        raise UserError(
            f"--listen {text}: under which name is the page reached?",
            "add --name NAME, as typed into the browser's address bar",
        )
    return listen


def read_token(path: Path) -> str:
    """The token in a file. Raises ``UserError`` where others can read it, or it is too short."""
    try:
        mode = path.stat().st_mode
        token = regular_or_shells(path).read_text(encoding="utf-8").strip()
    except OSError as error:
        raise UserError(f"--token {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise UserError(f"--token {path}: it is no text", "openssl rand -hex 16 > FILE") from error
    if mode & 0o077:
        raise UserError(f"--token {path}: group or others may use it", f"chmod 600 {path}")
    if len(token) < MIN_TOKEN or not token.isascii() or not token.isprintable() or " " in token:
        raise UserError(
            f"--token {path}: expected at least {MIN_TOKEN} letters and digits",
            f"openssl rand -hex 16 > {path}",
        )
    return token


def _origin(text: str) -> str:
    parts = urlsplit(text)
    origin = f"{parts.scheme}://{parts.netloc}".lower()
    if parts.scheme != "https" or not parts.hostname or text.lower().rstrip("/") != origin:
        raise UserError(f"--proxy {text!r}: expected an origin", "e.g. https://home.example")
    return origin


def _equal(one: str, other: str) -> bool:
    return hmac.compare_digest(one.encode(), other.encode())
