"""The attack list of docs/security.md, line by line, against a page that runs."""

from __future__ import annotations

import socket
import ssl
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from edgeser.errors import UserError
from edgeser.page.connection import MAX_CONNECTIONS
from edgeser.page.security import CSP, Listen, parse_listen, read_token

from .world import PATIENCE_S, Daemon, PageProcess, chromium, fault, page_of, status, until

TOKEN = "0123456789abcdef0123456789abcdef"

INJECT = """() => {
  const refused = [];
  const script = document.createElement('script');
  try { script.text = 'window.taken = 1'; document.body.append(script); }
  catch { refused.push('script'); }
  try { document.body.insertAdjacentHTML('beforeend', '<b onclick=1>x</b>'); }
  catch { refused.push('html'); }
  return new Promise((done) => setTimeout(() => done([window.taken ?? null, refused]), 500));
}"""


@pytest.fixture(scope="module")
def token_file(folder: Path) -> Path:
    file = folder / "token"
    file.write_text(TOKEN + "\n")
    file.chmod(0o600)
    return file


@pytest.fixture(scope="module")
def locked(daemon: Daemon, folder: Path, token_file: Path) -> Iterator[PageProcess]:
    """A page that asks for a token."""
    inside = folder / "locked"
    inside.mkdir()
    with page_of(daemon, inside, "--token", str(token_file)) as page:
        yield page


HOSTS = (
    "evil.example", "127.0.0.1", "localhost", "127.0.0.1:1", "127.0.0.1:{port}.evil.example",
    "localhost:{port}@evil.example", "evil.example:{port}", "",
)  # fmt: skip


@pytest.mark.parametrize("host", HOSTS)
def test_another_name_is_not_served(page: PageProcess, host: str) -> None:
    assert page.get("/", Host=host.format(port=page.port))[0] == 421


def test_its_own_names_are_served(page: PageProcess) -> None:
    for name in ("127.0.0.1", "localhost", "LOCALHOST"):
        assert page.get("/", Host=f"{name}:{page.port}")[0] == 200


def test_two_hosts_are_no_host(page: PageProcess) -> None:
    with socket.create_connection(("127.0.0.1", page.port)) as raw:
        host = page.host.encode()
        raw.sendall(b"GET / HTTP/1.1\r\nHost: " + host + b"\r\nHost: evil.example\r\n\r\n")
        assert raw.recv(100).split()[1] in (b"400", b"421")


@pytest.mark.parametrize(
    "origin",
    ["https://evil.example", "null", "http://127.0.0.1", "http://127.0.0.1:{port}.evil.example"],
)
def test_another_site_is_refused(page: PageProcess, origin: str) -> None:
    assert page.get("/api/live", Origin=origin.format(port=page.port))[0] == 403


def test_another_site_cannot_embed_the_api(page: PageProcess) -> None:
    for site in ("cross-site", "same-site"):
        assert page.get("/api/events", Sec_Fetch_Site=site)[0] == 403
    assert page.get("/api/events", Sec_Fetch_Site="same-origin")[0] == 200


def test_no_site_is_given_leave_to_read(page: PageProcess) -> None:
    headers = page.get("/api/events", Origin=page.url)[1]
    assert not [name for name in headers if name.startswith("access-control-")]


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"])
@pytest.mark.parametrize("path", ["/", "/api/events", "/api/live", "/static/app.js"])
def test_it_can_only_be_read(page: PageProcess, method: str, path: str) -> None:
    assert page.get(path, method)[0] == 405


PRIVATE = ("/api/live", "/api/events", "/api/events.csv", "/api/events.json", "/api/timeline",
           "/api/bins", "/api/journal", "/api/model/a/b")  # fmt: skip


@pytest.mark.parametrize("path", PRIVATE)
def test_nothing_is_told_without_the_token(locked: PageProcess, path: str) -> None:
    assert locked.get(path)[0] == 401
    assert locked.get(path, Authorization=f"Bearer {TOKEN[:-1]}x")[0] == 401
    assert locked.get(path, Cookie=f"edgeser-page-{locked.port}={TOKEN}")[0] == 401


def test_the_token_opens_it_by_form_and_by_header(locked: PageProcess) -> None:
    assert locked.get("/")[1]["location"] == "/login"
    code, headers, _ = locked.get("/login", "POST", f"token={TOKEN}")
    assert (code, headers["location"]) == (303, "/")
    cookie = headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=Strict" in cookie
    assert TOKEN not in cookie
    assert locked.get("/api/events", Cookie=cookie.partition(";")[0])[0] == 200
    assert locked.get("/api/events", Authorization=f"Bearer {TOKEN}")[0] == 200


def test_a_wrong_token_gets_no_cookie(locked: PageProcess) -> None:
    code, headers, _ = locked.get("/login?token=wrong")
    assert (code, headers["location"]) == (303, "/login#wrong")
    assert "set-cookie" not in headers


def test_the_health_check_tells_nothing_of_who_speaks(locked: PageProcess) -> None:
    assert set(locked.get("/healthz")[2].decode()) <= set(
        '{}",:.0123456789abcdefghijklmnopqrstuvwxyz'
    )
    assert b"speech" not in locked.get("/healthz")[2]


@pytest.mark.parametrize("path", ["/", "/static/app.js", "/api/events", "/nothing", "/login"])
def test_every_answer_binds_the_browser(page: PageProcess, path: str) -> None:
    headers = page.get(path)[1]
    assert headers["content-security-policy"] == CSP
    assert "unsafe" not in CSP
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["x-frame-options"] == "DENY"
    assert headers["referrer-policy"] == "same-origin"
    assert headers["cross-origin-resource-policy"] == "same-origin"
    assert "server" not in headers


@pytest.mark.parametrize(
    "path",
    [
        "/static/../server.py",
        "/static/%2e%2e/server.py",
        "/static/..%2fserver.py",
        "/static/%2e%2e%2f%2e%2e%2f__init__.py",
        "/static//etc/passwd",
        "/static/vendor/../../app.py",
    ],
)
def test_no_other_file_is_served(page: PageProcess, path: str) -> None:
    code, _, body = page.get(path)
    assert code in (400, 404), body[:200]


@pytest.mark.parametrize(
    "query",
    [
        "since=nan",
        "before=x",
        "limit=-1",
        "after=1%20OR%201",
        "confidence=inf",
        "since=" + "9" * 400,
    ]
    + ["label=" + "x" * 200, "&".join(["label=a"] * 40), "stream=%ff"],
)
def test_a_wrong_query_is_refused_in_words(page: PageProcess, query: str) -> None:
    code, _, body = page.get(f"/api/events?{query}")
    assert code == 400, body
    assert b"Traceback" not in body


def test_names_are_no_commands(page: PageProcess) -> None:
    assert page.ask("/api/events?label=%27%20OR%201%3D1--")["events"] == []
    for name in ("--help", "..%2fx", "a;id", "/etc/passwd"):
        assert page.get(f"/api/model/{name}/{'0' * 64}")[0] in (400, 404)


def test_a_huge_request_is_refused(page: PageProcess) -> None:
    assert page.get("/api/events?label=" + "x" * 40_000)[0] == 400
    assert page.get("/login", "POST", "token=" + "x" * 100_000)[0] == 400


def test_who_asks_for_nothing_is_let_in_in_numbers_and_for_a_while(locked: PageProcess) -> None:
    def is_served() -> bool:
        try:
            return locked.get("/static/app.js")[0] == 200
        except OSError:
            return False

    with ExitStack() as stack:
        connections = [
            stack.enter_context(socket.create_connection(("127.0.0.1", locked.port)))
            for _ in range(MAX_CONNECTIONS + 100)
        ]
        for connection in connections:
            with suppress(OSError):
                connection.sendall(b"GET / HT")
        held = Path(f"/proc/{locked.process.pid}/fd")
        until(lambda: not is_served(), "no more are let in")
        assert len(list(held.iterdir())) < MAX_CONNECTIONS + 50
        until(is_served, "those that ask for nothing are cut")
    assert len(locked.said().splitlines()) == 1


def test_a_request_that_is_broken_off_or_malformed_is_no_news(locked: PageProcess) -> None:
    begun = f"POST /login HTTP/1.1\r\nHost: {locked.host}\r\n".encode()
    chunks = begun + b"Transfer-Encoding: chunked\r\n\r\n1388\r\n" + b"a" * 5000 + b"\r\n"
    for part, then in (
        (begun + b"Content-Length: 100\r\n\r\ntoken=", None),
        (begun.replace(b"POST", b"GET") + b"Upgrade: x\r\nConnection: upgrade\r\n\r\n", b""),
        (b"\x16\x03\x01", b""),
        (chunks, b"no number\r\n"),
    ):
        with socket.create_connection(("127.0.0.1", locked.port)) as raw:
            raw.sendall(part)
            if then is not None:
                assert raw.recv(12).startswith(b"HTTP/1.1 ")
                raw.sendall(then)
                raw.shutdown(socket.SHUT_WR)
                with suppress(OSError):
                    while raw.recv(65_536):
                        pass
    assert locked.get("/healthz")[0] in (200, 503)
    assert len(locked.said().splitlines()) == 1


def test_an_event_cannot_end_its_frame(page: PageProcess, daemon: Daemon) -> None:
    daemon.tell(status(), fault('one\n\ndata: {"type":"evil"}\n\nid: 9'))
    with socket.create_connection(("127.0.0.1", page.port)) as raw:
        raw.settimeout(30)
        raw.sendall(f"GET /api/live HTTP/1.1\r\nHost: {page.host}\r\n\r\n".encode())
        told = b""
        while b"evil" not in told:
            told += raw.recv(65_536)
    assert not any(line.startswith(b'data: {"type":"evil"') for line in told.splitlines())


def test_what_events_hold_is_text_in_the_browser(page: PageProcess, daemon: Daemon) -> None:
    evil = "<img src=x onerror=\"document.title='taken'\"><script>document.title='taken'</script>"
    with chromium() as browser:
        tab = browser.new_page()
        tab.set_default_timeout(1000 * PATIENCE_S)
        tab.goto(page.url)
        daemon.tell(status(), fault(evil))
        until(lambda: evil in tab.inner_text("main"), "the fault is shown as it is")
        assert tab.title() == "edgeser"
        assert tab.locator("main img").count() == 0


def test_scripts_neither_see_the_cookie_nor_run_what_is_injected(locked: PageProcess) -> None:
    with chromium() as browser:
        tab = browser.new_page()
        tab.set_default_timeout(1000 * PATIENCE_S)
        tab.goto(locked.url)
        tab.fill("#token", TOKEN)
        tab.click("button")
        tab.wait_for_selector("nav")
        assert tab.evaluate("document.cookie") == ""
        taken, refused = tab.evaluate(INJECT)
        assert taken is None
        assert "html" in refused


def test_a_browser_is_cut_that_reads_no_more(daemon: Daemon) -> None:
    """The kernel does it: the option is set on the socket that listens."""
    from edgeser.page.server import STALLED_MS, _bind

    with _bind(Listen("127.0.0.1", 0)) as bound:
        address = bound.getsockname()
        with socket.create_connection(address), bound.accept()[0] as served:
            option = served.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT)
            assert option == STALLED_MS


@pytest.mark.parametrize(
    ("listen", "more", "word"),
    [
        ("0.0.0.0:7780", {}, "token"),
        ("192.168.1.5:7780", {}, "token"),
        ("192.168.1.5:7780", {"token": TOKEN}, "unencrypted"),
        ("0.0.0.0:7780", {"token": TOKEN, "tls": True}, "name"),
        ("127.0.0.1:7780", {"proxy": "https://home.example"}, "token"),
        ("127.0.0.1:7780", {"proxy": "http://home.example", "token": TOKEN}, "origin"),
        ("127.0.0.1:7780", {"proxy": "https://home.example/x", "token": TOKEN}, "origin"),
        ("::1:7780", {}, "HOST:PORT"),
        ("127.0.0.1", {}, "HOST:PORT"),
        ("127.0.0.1:99999", {}, "HOST:PORT"),
    ],
)
def test_what_others_could_read_is_not_served(
    listen: str, more: dict[str, object], word: str
) -> None:
    with pytest.raises(UserError, match=word):
        parse_listen(listen, **more)  # type: ignore[arg-type]


def test_behind_a_proxy_only_its_name_is_served() -> None:
    listen = parse_listen("127.0.0.1:7780", proxy="https://home.example", token=TOKEN)
    assert listen.hosts == {"home.example"}
    assert listen.origins == {"https://home.example"}
    assert listen.is_secure


def test_a_token_that_others_read_or_guess_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text(TOKEN)
    file.chmod(0o644)
    with pytest.raises(UserError, match="chmod 600"):
        read_token(file)
    file.chmod(0o600)
    assert read_token(file) == TOKEN
    file.write_text("short")
    with pytest.raises(UserError, match="at least 16"):
        read_token(file)
    with pytest.raises(UserError, match="No such file"):
        read_token(tmp_path / "none")


def test_with_tls_the_cookie_is_for_https_alone(
    daemon: Daemon, tmp_path: Path, token_file: Path
) -> None:
    certificate, key = tmp_path / "c.pem", tmp_path / "k.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
        + ["-nodes", "-days", "2", "-subj", "/CN=localhost", "-out", certificate, "-keyout", key],
        check=True,
        capture_output=True,
    )
    more = ("--token", str(token_file), "--tls-cert", str(certificate), "--tls-key", str(key))
    with page_of(daemon, tmp_path, *more) as page:
        trust = ssl.create_default_context(cafile=str(certificate))
        trust.check_hostname = False
        with (
            socket.create_connection(("127.0.0.1", page.port)) as raw,
            trust.wrap_socket(raw) as told,
        ):
            request = f"GET /login?token={TOKEN} HTTP/1.1\r\nHost: {page.host}\r\n\r\n"
            told.sendall(request.encode())
            answer = told.recv(65_536).decode().lower()
        assert f"__host-edgeser-page-{page.port}=" in answer
        assert "; secure" in answer
