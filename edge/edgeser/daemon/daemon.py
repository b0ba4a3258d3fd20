"""The daemon: capture, inference and publishing, wired together and supervised.

Sound flows through the threads that hear sources (``source_threads``; source to windows), one for
inference (windows to events) and the publisher's own. The main thread publishes status, reloads
settings on request, and waits for the end. ``docs/architecture.md`` lists all threads.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack, suppress
from functools import partial
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING

from edgeser.audio.network.stream import NetworkStream
from edgeser.audio.source import Source
from edgeser.baselines.store import BaselineStore
from edgeser.daemon.backlog import Backlog
from edgeser.daemon.baselines import BaselineKeeper, BaselineThread
from edgeser.daemon.health import Health
from edgeser.daemon.inference import Inference
from edgeser.daemon.intake import Intake
from edgeser.daemon.mute import Mute, MuteSocket, mute_path
from edgeser.daemon.reload import Load, Reload
from edgeser.daemon.reporter import StreamReporter
from edgeser.daemon.source_threads import source_threads
from edgeser.daemon.threads import Threads
from edgeser.decider import Decider
from edgeser.errors import UserError
from edgeser.events.journal.journal import JournalPlace
from edgeser.events.publish.publisher import Publisher
from edgeser.events.schema import Event, FaultCode
from edgeser.events.wire.keys import KeyFolder
from edgeser.hearing import Hearing
from edgeser.losses import Losses
from edgeser.model.model import Model
from edgeser.settings.schema import EventSettings, JournalSettings, MetricsSettings, Settings

if TYPE_CHECKING:
    from edgeser.daemon.metrics import Metrics
    from edgeser.metrics_server import MetricsServer

log = logging.getLogger(__name__)

STATUS_INTERVAL_S = 1.0

LEVEL_INTERVAL_S = 0.2
"""Interval of level events, while somebody subscribes to them."""


class Daemon:
    """Runs streams from their sources to their events.

    ``run`` returns when every source has ended (``once``) or ``stop`` was called, after the final
    events of the open segments have been published.
    """

    def __init__(
        self,
        settings: Settings,
        sources: Mapping[str, Source],
        model: Model,
        *,
        load: Load | None = None,
        once: bool = False,
        await_subscriber: bool = False,
    ) -> None:
        """Bind the endpoints. Raises UserError if that or a setting is impossible.

        ``sources``: by the name of their stream. ``load``: reads settings and model for ``reload``.
        ``await_subscriber``: leave the sources alone until somebody subscribes.
        """
        self._once = once
        self._await_subscriber = await_subscriber
        losses = {name: Losses() for name in sources}
        learn = settings.baseline.learn
        hearings = {
            name: Hearing(name, model, settings.speech, losses[name], learn=learn)
            for name in sources
        }
        deciders = {name: Decider(settings.decision, losses[name], learn=learn) for name in sources}
        # SimpleQueue: a signal handler must not wait for a lock that the interrupted thread holds.
        self._calls: SimpleQueue[None] = SimpleQueue()
        self._is_stopping = False
        self._is_reload_due = False
        self._ended: set[str] = set()
        self._threads = Threads(self._wake)
        self._worker = Threads(self._wake)
        self._backlog = Backlog()
        self._metrics: Metrics | None = None
        self._publisher = Publisher(
            settings.events.bind,
            on_subscribe=self._wake,
            on_sent=self._account_for,
            journal=_journal(settings.journal),
            keys=KeyFolder(settings.events.key_folder) if settings.events.curve else None,
        )
        mute = Mute(on_change=self._wake)
        self._mute_sockets: list[MuteSocket] = []
        self._serve_mute(mute, settings.events)
        publish = self._publisher.publish
        self._reporters = {name: StreamReporter(name, losses[name], publish) for name in sources}
        self._intakes = {
            name: Intake(source, hearings[name], self._reporters[name], self._backlog, mute)
            for name, source in sources.items()
        }
        self._inference = Inference(self._backlog, deciders, self._reporters, publish)
        self._reload = Reload(
            settings,
            model,
            load,
            self._intakes,
            deciders,
            self._publisher.reload_keys,
            self._tell_all,
        )
        self._health = Health(self._intakes, self._backlog)
        self._server = self._serve(settings.metrics, settings.journal)
        self._baselines = BaselineThread(self._keeper_of(settings, deciders), self._wake)
        log.info(
            "%s on %s%s, events at %s",
            model.info.name,
            model.backend.name,
            f" (not TensorRT: {model.reason})" if model.reason else "",
            " ".join(self._publisher.endpoints),
        )

    def run(self) -> None:
        """Listen until the end. Raises the error that ended a thread: a UserError, or a bug."""
        failure: BaseException | None = None
        try:
            self._baselines.start()
            self._worker.start("inference", self._inference.run)
            for name, work in source_threads(self._intakes):
                self._threads.start(name, partial(self._listen, work))
            self._reload.say_if_fallen_back()
            while not self._is_over():
                if self._is_reload_due:
                    self._is_reload_due = False
                    with self._health.reloading():
                        self._reload.carry_out()
                self._report(stopping=False)
                self._say_what_ended()
                self._baselines.turn()
                self._health.tell(journal_is_off=self._publisher.journal_is_off)
                self._rest()
        except BaseException as error:
            failure = error
        try:
            self._end(failure)
        finally:
            failure = self._failure or failure
            if failure is not None:
                raise failure

    def stop(self) -> None:
        """Finish the open segments and return from ``run``; from any thread or signal handler."""
        self._is_stopping = True
        self._wake()

    def reload(self) -> None:
        """Reload settings and model soon; from any thread or signal handler."""
        self._is_reload_due = True
        self._wake()

    @property
    def _failure(self) -> BaseException | None:
        """What ended a thread; the publisher's comes first: it makes those that publish fail."""
        parts = (self._publisher, self._threads, self._worker, self._baselines)
        return next((part.failure for part in parts if part.failure is not None), None)

    def _is_over(self) -> bool:
        ended = self._once and all(intake.ended.is_set() for intake in self._intakes.values())
        return ended or self._is_stopping or self._failure is not None

    def _end(self, failure: BaseException | None) -> None:
        """Let every stream finish its last segment, then say why and stop publishing."""
        with ExitStack() as last:  # callbacks run in reverse order, even if others raise
            if self._server is not None:
                last.callback(self._server.close)
            last.callback(self._close_sockets)
            last.callback(self._tell_end, failure)
            last.callback(self._baselines.end)
            self._health.stopping()
            self._is_stopping = True
            for intake in self._intakes.values():
                intake.source.close()
            self._threads.join()  # after this no more windows come
            self._backlog.close()
            self._worker.join()

    def _tell_end(self, failure: BaseException | None) -> None:
        failure = self._failure or failure
        try:
            if failure is not None:
                self._tell_failure(failure)
            self._report(stopping=True)
        except RuntimeError as error:
            log.warning("subscribers could not be told that the daemon ends: %s", error)

    def _tell_failure(self, failure: BaseException) -> None:
        if isinstance(failure, UserError):
            self._tell_all("source_failed", f"the daemon ends: {failure}", recovered=False)
        else:
            message = f"the daemon ends: {type(failure).__name__}: {failure}"
            self._tell_all("daemon_failed", message, recovered=False)

    def _keeper_of(self, settings: Settings, deciders: Mapping[str, Decider]) -> BaselineKeeper:
        """Keeps the baselines of microphones, but not of files, which never change."""
        names = {audio.name for audio in settings.sources if audio.source == "mic"}
        kept = [
            intake
            for name, intake in self._intakes.items()
            if name in names or isinstance(intake.source, NetworkStream)
        ]
        keeper = BaselineKeeper(
            BaselineStore(settings.baseline.store),
            kept if settings.baseline.keep else [],
            deciders,
        )
        keeper.sync()
        return keeper

    def _wake(self) -> None:
        self._calls.put(None)

    def _rest(self) -> None:
        """Wait until woken, at most until the next status is due; many wake-ups count as one.

        Meanwhile publish level events if somebody subscribes to them.
        """
        due = time.monotonic() + STATUS_INTERVAL_S
        while (left_s := due - time.monotonic()) > 0:
            try:
                wanted = self._publisher.levels_wanted
                self._calls.get(timeout=min(left_s, LEVEL_INTERVAL_S) if wanted else left_s)
                break
            except Empty:
                if wanted:
                    for intake in self._intakes.values():
                        self._publisher.publish(intake.level())
        with suppress(Empty):
            while True:
                self._calls.get_nowait()

    def _listen(self, work: Callable[[], None]) -> None:
        while self._await_subscriber and not self._publisher.subscriptions:
            if self._is_over():
                return
            time.sleep(0.02)
        work()

    def _report(self, *, stopping: bool) -> None:
        for news in self._publisher.journal_news():
            self._tell_all(news.code, news.message, recovered=news.recovered)
        for name, intake in self._intakes.items():
            self._reporters[name].report_failures()
            self._publisher.publish(intake.status(stopping=stopping))

    def _say_what_ended(self) -> None:
        """Log each source that has ended: nothing more comes from it, however long one waits."""
        for name, intake in self._intakes.items():
            if intake.ended.is_set() and name not in self._ended:
                self._ended.add(name)
                how = "has ended without any sound" if intake.frame_age_s is None else "has ended"
                log.info("%s %s; the daemon goes on (--once ends it with its sources)", name, how)

    def _tell_all(self, code: FaultCode, message: str, *, recovered: bool) -> None:
        """Publish a fault of the whole daemon on every stream."""
        for reporter in self._reporters.values():
            reporter.fault(code, message, recovered=recovered)

    def _serve(self, settings: MetricsSettings, journal: JournalSettings) -> MetricsServer | None:
        if settings.listen is None:
            return None
        from edgeser.daemon.metrics import Gauges, Metrics
        from edgeser.metrics_server import MetricsServer

        place = _journal(journal)

        def gauges() -> Gauges:
            return Gauges(
                backlog=len(self._backlog),
                subscriptions=self._publisher.subscriptions,
                troubles=self._health.troubles(),
                dropped=self._publisher.dropped(),
                journal=None if place is None else place.path,
                journal_off=self._publisher.journal_is_off,
            )

        self._metrics = Metrics(self._intakes, gauges)
        try:
            return MetricsServer(
                settings.listen,
                self._metrics.registry,
                hosts=settings.hosts,
                troubles=self._health.troubles,
            )
        except UserError:
            self._close_sockets()
            raise

    def _serve_mute(self, mute: Mute, settings: EventSettings) -> None:
        if settings.mute_by == "nobody":
            return
        try:
            for path in map(mute_path, self._publisher.endpoints):
                if path is not None:
                    self._mute_sockets.append(MuteSocket(path, mute, settings.mute_by))
        except UserError:
            self._close_sockets()
            raise

    def _close_sockets(self) -> None:
        with ExitStack() as last:
            last.callback(self._publisher.close)
            for mute_socket in self._mute_sockets:  # before the publisher, whose lock covers them
                last.callback(mute_socket.close)

    def _account_for(self, event: Event) -> None:
        """Called in the publisher's thread."""
        if self._metrics is not None:
            self._metrics.observe(event)


def _journal(settings: JournalSettings) -> JournalPlace | None:
    place = JournalPlace(settings.file, settings.max_days, settings.max_mb)
    return place if settings.enabled else None
