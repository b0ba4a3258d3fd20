"""From JetStream into the lake: a durable consumer that acknowledges events once on the disk.

Events that were written but not acknowledged, because either side was killed in between, are
delivered again, and left out by the store.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
import uuid
from collections.abc import Callable

import nats.errors
import nats.js.errors
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.js import JetStreamContext, api

from edgeser.bridges.nats.client import ANSWER_TIMEOUT_S, NatsError, connect, explained
from edgeser.bridges.nats.server import Server
from edgeser.bridges.nats.subjects import LAKE_INBOX, STORED
from edgeser.bridges.pauses import Pauses
from edgeser.lake.figures import Figures
from edgeser.lake.store import REJECTED_FOLDER, FullError, Store
from edgeser.lake.tables import Message, Sorted, sort

log = logging.getLogger(__name__)

STREAM, CONSUMER = "EDGESER", "lake"
ROWS = 20_000
"""Most rows in a part, and in memory."""

MESSAGES_BYTES = 32_000_000
"""Most bytes of messages in a request, if each were as large as the server allows (it disconnects a
client that is owed 64 MiB), and in memory, at which a part is written."""

FETCH = 500
FETCH_S = 2.0
TURN_S = 1.0
NO_STORAGE = 10047
"""JetStream's JSStorageResourcesExceededErr: a stream's storage is reserved when it is made."""

STEADY_S = 10.0
"""After a connection that lasted this long, the next pause is short again."""


class Filler:
    """Fills a lake until it is stopped."""

    def __init__(
        self,
        server: Server,
        store: Store,
        *,
        every_s: float,
        once: bool,
        stream_gb: float,
        on_turn: Callable[[], None],
    ) -> None:
        """``every_s``: a part is written at this interval, or at ``ROWS``. ``once``: end when
        nothing is left. ``stream_gb``: size limit of the stream, if it has to be made.

        ``on_turn`` is called at least every other second, also while it waits or writes.
        """
        self._server = server
        self._store = store
        self._every_s = every_s
        self._once = once
        self._stream_gb = stream_gb
        self._on_turn = on_turn
        self._stop = asyncio.Event()
        self._is_full = False
        self._mark = f"lake {uuid.uuid4()}"
        self.figures = Figures()

    def stop(self) -> None:
        """Write what is in memory, and end; from the event loop's thread."""
        self._stop.set()

    async def run(self) -> None:
        """Run until ``stop``, or with ``once`` until nothing is left.

        Raises UserError for files that cannot be read, and NatsError and FullError only with
        ``once``: otherwise it waits.
        """
        figures, pauses = self.figures, Pauses()
        while not self._stop.is_set():
            began = time.monotonic()
            try:
                await self._connection()
                return
            except (NatsError, FullError) as error:
                if self._once:
                    raise
                if time.monotonic() - began > STEADY_S:
                    pauses.reset()
                if str(error) != figures.trouble:
                    log.warning("%s; trying again, at most a minute apart", error)
                figures.trouble, self._is_full = str(error), isinstance(error, FullError)
            finally:
                figures.connected, figures.held = False, 0
            until = time.monotonic() + pauses.next_s()
            while time.monotonic() < until and not self._stop.is_set():
                self._on_turn()
                await asyncio.sleep(0.2)

    async def _connection(self) -> None:
        """Take events until the end. Raises NatsError and FullError."""
        server, troubles = self._server, list[str]()
        client = await connect(server, LAKE_INBOX, troubles)
        try:
            with explained(server, troubles):
                jetstream = client.jetstream(timeout=ANSWER_TIMEOUT_S)
                await self._make_stream(jetstream)
                messages = await self._subscribe(jetstream)
                self.figures.connected = True
                self.figures.connections += 1
                if not self._is_full:
                    log.info("%s: the lake takes from the stream %s", server, STREAM)
                await self._take(client, messages)
        finally:
            await client.close()

    async def _make_stream(self, jetstream: JetStreamContext) -> None:
        """Make the stream unless there is one. What the lake has acknowledged is deleted from it.

        A full stream refuses new events: devices keep those, and nothing is lost. Raises NatsError
        if the server may not store so much.
        """
        try:
            await jetstream.stream_info(STREAM)
        except nats.js.errors.NotFoundError:
            wanted = api.StreamConfig(
                name=STREAM,
                subjects=list(STORED),
                retention=api.RetentionPolicy.WORK_QUEUE,
                discard=api.DiscardPolicy.NEW,
                storage=api.StorageType.FILE,
                max_bytes=round(self._stream_gb * 1e9),
                duplicate_window=120,
            )
            try:
                await jetstream.add_stream(wanted)
            except nats.js.errors.APIError as error:
                if error.err_code != NO_STORAGE:
                    raise
                raise NatsError(
                    f"{self._server}: it has no room for a stream of "
                    f"{self._stream_gb:g} GB; ask for less with --stream-gb "
                    "(lake.stream_gb), or raise its max_file_store"
                ) from None
            log.info("%s: made the stream %s", self._server, STREAM)

    async def _subscribe(self, jetstream: JetStreamContext) -> JetStreamContext.PullSubscription:
        """A consumer of our own that is given all that the stream holds.

        An existing one is replaced. So events that a killed lake took and did not write are
        delivered at once, as are those that a killed server still holds although they were
        acknowledged; the store leaves out what it has. Raises NatsError if another lake is asking
        for events at present.
        """
        with contextlib.suppress(nats.js.errors.NotFoundError):
            if (await jetstream.consumer_info(STREAM, CONSUMER)).num_waiting:
                raise self._another()
            await jetstream.delete_consumer(STREAM, CONSUMER)
        await jetstream.add_consumer(
            STREAM,
            api.ConsumerConfig(
                durable_name=CONSUMER,
                description=self._mark,
                ack_policy=api.AckPolicy.EXPLICIT,
                ack_wait=self._every_s + 30,
                max_ack_pending=2 * ROWS,
            ),
        )
        return await jetstream.pull_subscribe_bind(durable=CONSUMER, stream=STREAM)

    async def _check_ours(self, messages: JetStreamContext.PullSubscription) -> None:
        """Raises NatsError if another lake has replaced the consumer, and so gets these events.

        It did not see us ask for events, because we or the network had stalled.
        """
        if (await messages.consumer_info()).config.description != self._mark:
            raise self._another()

    def _another(self) -> NatsError:
        return NatsError(f"{self._server}: another lake reads from it; stop that one")

    async def _take(self, client: Client, messages: JetStreamContext.PullSubscription) -> None:
        held: list[Msg] = []
        held_bytes = 0
        at_once = max(1, min(FETCH, MESSAGES_BYTES // client.max_payload))
        began = since = time.monotonic()
        while True:
            try:
                fetched = await messages.fetch(min(at_once, ROWS - len(held)), timeout=FETCH_S)
                held += fetched
                held_bytes += sum(len(message.data) for message in fetched)
                is_empty = False
            except asyncio.TimeoutError:  # the library's own is a subclass
                if not client.is_connected:
                    raise nats.errors.ConnectionClosedError from None
                is_empty = True
            self.figures.held = len(held)
            if not self._is_full and time.monotonic() - began > STEADY_S:
                self.figures.trouble = ""
            is_over = self._stop.is_set() or (self._once and is_empty)
            is_due = time.monotonic() - since >= self._every_s
            if len(held) >= ROWS or held_bytes >= MESSAGES_BYTES or is_due or is_over:
                if held:
                    await self._check_ours(messages)
                await self._write(client, held)
                held, held_bytes, since = [], 0, time.monotonic()
                left = await messages.consumer_info()
                self.figures.held, self.figures.pending = 0, left.num_pending or 0
                if self._stop.is_set() or (
                    is_over and not left.num_pending and not left.num_ack_pending
                ):
                    return
            self._on_turn()

    async def _write(self, client: Client, held: list[Msg]) -> None:
        if not held:
            return
        rows = await asyncio.to_thread(sort, [Message(m.subject, m.data) for m in held])
        figures, store = self.figures, self._store
        try:
            added = await self._added(rows)
        except FullError as error:
            figures.rows += error.added
            raise
        figures.rows += added
        figures.rejected += rows.rejected.num_rows
        figures.known += len(held) - added - rows.rejected.num_rows
        figures.written_at = time.time()
        if self._is_full:
            log.info("lake %s: it is written again", store.folder)
        figures.trouble, self._is_full = "", False
        if rows.rejected.num_rows:
            log.warning(
                "%d messages are not events of edgeser; they are in %s",
                rows.rejected.num_rows,
                store.folder / REJECTED_FOLDER,
            )
        for message in held:
            await message.ack()
        await client.flush()

    async def _added(self, rows: Sorted) -> int:
        """Add rows in a thread: events of many days are many files, and may take minutes. Raises
        FullError."""
        adding = asyncio.ensure_future(asyncio.to_thread(self._store.add, rows))
        while not (await asyncio.wait([adding], timeout=TURN_S))[0]:
            self._on_turn()
        return adding.result()
