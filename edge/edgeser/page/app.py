"""The page's URLs. They are read-only: all that can be sent is a token."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from functools import partial
from pathlib import Path
from typing import TypeVar
from urllib.parse import parse_qs

import anyio.to_thread
import msgspec
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import ClientDisconnect
from starlette.requests import Request as HttpRequest
from starlette.responses import FileResponse, RedirectResponse, Response, StreamingResponse
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from edgeser import __version__
from edgeser.errors import UserError
from edgeser.events.schema import FAULT_CODES
from edgeser.page import history
from edgeser.page.assets import STATIC, front_page
from edgeser.page.card import ModelCard
from edgeser.page.copy import JournalCopy
from edgeser.page.hub import Hub
from edgeser.page.live import MAX_BROWSERS, LiveResponse
from edgeser.page.query import BINS, DOWNLOAD, MAX_LIMIT, PAGED, SPAN, Query, read_edges, read_query
from edgeser.page.security import HEADERS, Guard, Request

MAX_FIELDS = 32
MAX_FORM_BYTES = 4096
FORM_S = 10.0
"""How long a form may take to arrive."""

WRONG_TOKEN_S = 1.0
"""Delay of the answer to a wrong token."""

READERS = 2
"""Requests that may read the journal at once."""

Answer = TypeVar("Answer")

_encode = msgspec.json.Encoder().encode


class Page:
    """Answers requests to the URLs. ``journal``: the daemon's file, or the copy of it."""

    def __init__(self, hub: Hub, guard: Guard, endpoint: str, journal: Path | JournalCopy) -> None:
        self._hub = hub
        self._guard = guard
        self._journal = journal
        self._card = ModelCard()
        self._hello: dict[str, object] = {
            "version": __version__,
            "endpoint": endpoint,
            "fault_codes": FAULT_CODES,
        }
        self._readers = asyncio.Semaphore(READERS)

    def app(self) -> ASGIApp:
        """The ASGI application."""
        return Starlette(
            routes=[
                Route("/", self._index),
                Route("/login", self._login, methods=["GET", "POST"]),
                Route("/healthz", self._healthz),
                Route("/api/live", self._live),
                Route("/api/events", self._events),
                Route("/api/events.csv", self._events_csv),
                Route("/api/events.json", self._events_json),
                Route("/api/timeline", self._timeline),
                Route("/api/bins", self._bins),
                Route("/api/journal", self._extent),
                Route("/api/model/{name}/{sha256}", self._model),
                Mount("/static/of-{version}", FrontEnd("max-age=31536000, immutable")),
                Mount("/static", FrontEnd("no-cache")),
            ],
            middleware=[
                Middleware(Doorkeeper, guard=self._guard),
                Middleware(GZipMiddleware, minimum_size=1000, compresslevel=5),
            ],
            exception_handlers={UserError: _said, 404: _missing, 405: _missing},
        )

    async def _index(self, request: HttpRequest) -> Response:
        body = await anyio.to_thread.run_sync(front_page)
        return Response(body, headers={"cache-control": "no-cache"}, media_type="text/html")

    async def _login(self, request: HttpRequest) -> Response:
        given = ""
        if request.method == "POST":
            try:
                form = await asyncio.wait_for(_form(request), FORM_S)
            except (ClientDisconnect, asyncio.TimeoutError):
                raise UserError("the form is not complete") from None
            given = "".join(form.get("token", []))
        elif "token" in request.query_params:
            given = request.query_params["token"]
        else:
            return FileResponse(STATIC / "login.html", headers={"cache-control": "no-cache"})
        if self._guard.token is not None and not self._guard.is_token(given.strip()):
            await asyncio.sleep(WRONG_TOKEN_S)
            return RedirectResponse("/login#wrong", 303)
        response = RedirectResponse("/", 303)
        if self._guard.token is not None:
            response.headers["set-cookie"] = self._guard.cookie()
        return response

    async def _healthz(self, request: HttpRequest) -> Response:
        heard = self._hub.link.heard
        return _json({"ok": heard, "version": __version__}, 200 if heard else 503)

    async def _live(self, request: HttpRequest) -> ASGIApp:
        if self._hub.clients >= MAX_BROWSERS:
            return _json({"error": f"{MAX_BROWSERS} browsers look already"}, 503)
        # A browser sends its last event id by itself; a program may give it in the URL.
        position = request.headers.get("last-event-id") or request.query_params.get("since")
        return LiveResponse(self._hub, self._hello, position)

    async def _events(self, request: HttpRequest) -> Response:
        query = read_query(_fields(request), PAGED)
        return _json(await self._read(lambda path: history.search(path, query)))

    async def _events_csv(self, request: HttpRequest) -> Response:
        def lines(page: history.Events, number: int) -> bytes:
            return history.csv_lines(page, header=number == 0)

        return await self._download(request, "text/csv; charset=utf-8", "csv", lines)

    async def _events_json(self, request: HttpRequest) -> Response:
        def items(page: history.Events, number: int) -> bytes:
            body = b",\n".join(bytes(found.event) for found in page.events)
            before = b"[" if number == 0 else b",\n" if body else b""
            return before + body + (b"]\n" if page.next is None else b"")

        return await self._download(request, "application/json", "json", items)

    async def _download(
        self,
        request: HttpRequest,
        kind: str,
        ending: str,
        write: Callable[[history.Events, int], bytes],
    ) -> Response:
        """Everything found, streamed page by page, so that little of it is in memory."""
        query = msgspec.structs.replace(read_query(_fields(request), DOWNLOAD), limit=MAX_LIMIT)
        first = await self._read(lambda path: history.search(path, query))

        async def body() -> AsyncIterator[bytes]:
            page, number = first, 0
            yield write(page, number)
            while page.next is not None:
                behind: Query = msgspec.structs.replace(query, after=page.next)
                page = await self._read(partial(history.search, query=behind))
                number += 1
                yield write(page, number)

        name = f'attachment; filename="edgeser-events.{ending}"'
        headers = {"content-disposition": name, "cache-control": "no-store"}
        return StreamingResponse(body(), media_type=kind, headers=headers)

    async def _timeline(self, request: HttpRequest) -> Response:
        query = read_query(_fields(request), SPAN)
        return _json(await self._read(lambda path: history.timeline(path, query)))

    async def _bins(self, request: HttpRequest) -> Response:
        fields = _fields(request)
        query, edges = read_query(fields, BINS), read_edges(fields)
        return _json(await self._read(lambda path: history.bins(path, query, edges)))

    async def _extent(self, request: HttpRequest) -> Response:
        return _json(await self._read(history.extent))

    async def _model(self, request: HttpRequest) -> Response:
        card = await self._card.read(request.path_params["name"], request.path_params["sha256"])
        return _json(card)

    async def _read(self, ask: Callable[[Path], Answer]) -> Answer:
        """Read the journal in a thread, so that live events do not wait for it."""
        journal = self._journal
        if isinstance(journal, JournalCopy):
            if not journal.is_whole:
                raise history.NoJournalError("not all past events have come from the daemon yet")
            journal = journal.path
        async with self._readers:
            return await anyio.to_thread.run_sync(ask, journal)


class FrontEnd(StaticFiles):
    """Our static files. ``caching``: what a browser is told of it. Without a version in the URL it
    must revalidate each: by age it would mix them with those from before an upgrade, for days."""

    def __init__(self, caching: str) -> None:
        super().__init__(directory=STATIC)
        self._caching = caching

    def file_response(
        self,
        full_path: str | os.PathLike[str],
        stat_result: os.stat_result,
        scope: Scope,
        status_code: int = 200,
    ) -> Response:
        """The file, or 304 if it has not changed."""
        response = super().file_response(full_path, stat_result, scope, status_code)
        response.headers["cache-control"] = self._caching
        return response


class Doorkeeper:
    """Asks the guard about every request, and adds the security headers."""

    def __init__(self, app: ASGIApp, guard: Guard) -> None:
        self._app = app
        self._guard = guard
        self._headers = [(k.encode(), v.encode()) for k, v in HEADERS.items()]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle a request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_bound(message: Message) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message["headers"], *self._headers]}
            await send(message)

        refusal = self._guard.refusal(_judged(scope))
        if refusal is None:
            await self._app(scope, receive, send_bound)
        elif refusal.status == 401 and scope["path"] == "/":
            await RedirectResponse("/login", 303)(scope, receive, send_bound)
        else:
            answer = _json({"error": refusal.reason}, refusal.status)
            await answer(scope, receive, send_bound)


def _judged(scope: Scope) -> Request:
    found: dict[bytes, list[str]] = {}
    for name, value in scope["headers"]:
        found.setdefault(name, []).append(value.decode("latin-1"))

    def header(name: bytes) -> str:
        return ", ".join(found.get(name, ()))  # two hosts or origins match nothing

    return Request(
        method=scope["method"],
        path=scope["path"],
        host=header(b"host"),
        origin=header(b"origin"),
        fetch_site=header(b"sec-fetch-site"),
        authorization=header(b"authorization"),
        cookie="; ".join(found.get(b"cookie", ())),
    )


def _json(content: object, status: int = 200) -> Response:
    body = content if isinstance(content, bytes) else _encode(content)
    headers = {"cache-control": "no-store"}
    return Response(body, status, headers, media_type="application/json")


def _said(request: HttpRequest, error: Exception) -> Response:
    return _json({"error": str(error)}, 404 if isinstance(error, history.NoJournalError) else 400)


def _missing(request: HttpRequest, error: Exception) -> Response:
    status = getattr(error, "status_code", 404)
    return _json({"error": "there is no such page" if status == 404 else "not allowed"}, status)


def _fields(request: HttpRequest) -> dict[str, list[str]]:
    try:
        return parse_qs(
            request.url.query, keep_blank_values=True, max_num_fields=MAX_FIELDS, errors="strict"
        )
    except ValueError as error:
        raise UserError(f"the query cannot be read: {error}") from error


async def _form(request: HttpRequest) -> dict[str, list[str]]:
    body = b""
    async for part in request.stream():
        body += part
        if len(body) > MAX_FORM_BYTES:
            raise UserError(f"a form has {MAX_FORM_BYTES} bytes at most")
    try:
        return parse_qs(body.decode("ascii"), max_num_fields=MAX_FIELDS)
    except ValueError as error:
        raise UserError("the form cannot be read") from error
