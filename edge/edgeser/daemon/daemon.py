"""The daemon: intakes, one inference worker, one publisher, and a status every second.

Sound flows through three kinds of threads: one for each source, or for all files that play in real
time (source to windows), one for inference (windows to events) and the publisher's own. The main
thread says how things are, reads settings anew when asked to, and waits for the end.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING

from edgeser.audio.source import Source
from edgeser.daemon.backlog import Backlog
from edgeser.daemon.health import Liveness
from edgeser.daemon.intake import Intake
from edgeser.daemon.listeners import listeners
from edgeser.errors import UserError
from edgeser.events.journal.journal import JournalPlace
from edgeser.events.publish.publisher import Publisher
from edgeser.events.schema import Event
from edgeser.events.wire.keys import KeyFolder
from edgeser.model.model import Model
from edgeser.settings.schema import JournalSettings, Settings, segmenter_config
from edgeser.stream import Stream, Window

if TYPE_CHECKING:
    from edgeser.daemon.metrics import Metrics, MetricsServer

log = logging.getLogger(__name__)

STATUS_INTERVAL_S = 1.0


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
        load: Callable[[], tuple[Settings, Model]] | None = None,
        once: bool = False,
        await_subscriber: bool = False,
    ) -> None:
        """Bind the endpoints. Raises UserError if that or a setting is impossible.

        ``sources``: by the name of their stream. ``load``: settings and model as they are now, for
        ``reload``. ``await_subscriber``: leave the sources alone until somebody listens.
        """
        self._settings = settings
        self._model = model
        self._load = load
        self._once = once
        self._await_subscriber = await_subscriber
        streams = [Stream(name, model, settings.speech, settings.decision) for name in sources]
        # What a signal handler touches holds no lock that the interrupted thread may have taken.
        self._calls: SimpleQueue[None] = SimpleQueue()
        self._is_stopping = False
        self._is_reload_due = False
        self._failure: BaseException | None = None
        self._backlog = Backlog()
        self._metrics: Metrics | None = None
        self._publisher = Publisher(
            settings.events.bind,
            on_subscribe=self._wake,
            on_sent=self._account,
            journal=_journal(settings.journal),
            keys=KeyFolder(settings.events.key_folder) if settings.events.curve else None,
        )
        self._intakes = {
            stream.name: Intake(source, stream, self._backlog, self._publisher.publish)
            for stream, source in zip(streams, sources.values(), strict=True)
        }
        self._liveness = Liveness(self._intakes, self._backlog)
        self._server = self._serve(settings.metrics.listen) if settings.metrics.listen else None
        log.info(
            "%s on %s%s, events at %s",
            model.info.name,
            model.backend.name,
            f" (not TensorRT: {model.reason})" if model.reason else "",
            " ".join(self._publisher.endpoints),
        )

    def run(self) -> None:
        """Listen until the end. Raises what ended a thread: UserError, or a defect of ours."""
        listening = [
            self._thread(name, partial(self._listen, work))
            for name, work in listeners(self._intakes).items()
        ]
        inference = self._thread("inference", self._infer)
        for thread in (inference, *listening):
            thread.start()
        try:
            self._say_when_fallen_back(self._model)
            while not self._is_over():
                if self._is_reload_due:
                    self._is_reload_due = False
                    with self._liveness.reloading():
                        self._reload()
                self._report(stopping=False)
                self._liveness.tell()
                self._rest()
        finally:
            self._liveness.stopping()
            for intake in self._intakes.values():
                intake.source.close()
            for thread in listening:
                thread.join()
            self._backlog.close()
            inference.join()
            if self._failure is not None and not isinstance(self._failure, UserError):
                message = f"the daemon ends: {type(self._failure).__name__}: {self._failure}"
                self._fault("daemon_failed", message, recovered=False)
            self._report(stopping=True)
            self._publisher.close()
            if self._server is not None:
                self._server.close()
        if self._failure is not None:
            raise self._failure

    def stop(self) -> None:
        """Finish the open segments and return from ``run``; from any thread or signal handler."""
        self._is_stopping = True
        self._wake()

    def reload(self) -> None:
        """Read settings and model anew, soon; from any thread or signal handler."""
        self._is_reload_due = True
        self._wake()

    def _wake(self) -> None:
        self._calls.put(None)

    def _rest(self) -> None:
        """Wait until called, at most until the next status is due; many calls count as one."""
        with suppress(Empty):
            self._calls.get(timeout=STATUS_INTERVAL_S)
            while True:
                self._calls.get_nowait()

    def _serve(self, listen: str) -> MetricsServer:
        from edgeser.daemon.metrics import Gauges, Metrics, MetricsServer

        def gauges() -> Gauges:
            troubles = self._liveness.troubles()
            return Gauges(len(self._backlog), self._publisher.subscriptions, troubles)

        self._metrics = Metrics(self._intakes, gauges)
        try:
            return MetricsServer(listen, self._metrics)
        except UserError:
            self._publisher.close()
            raise

    def _account(self, event: Event) -> None:
        """In the publisher's thread."""
        if self._metrics is not None:
            self._metrics.observe(event)

    def _is_over(self) -> bool:
        ended = self._once and all(intake.ended.is_set() for intake in self._intakes.values())
        return ended or self._is_stopping or self._failure is not None

    def _report(self, *, stopping: bool) -> None:
        for news in self._publisher.journal_news():
            self._fault(news.code, news.message, recovered=news.recovered)
        for intake in self._intakes.values():
            intake.report(stopping=stopping)

    def _fault(self, code: str, message: str, *, recovered: bool) -> None:
        """A fault of the whole daemon: every stream says it."""
        for intake in self._intakes.values():
            intake.fault(code, message, recovered=recovered)

    def _reload(self) -> None:
        """Put new settings and the model in force; keep the old ones when they are wrong."""
        if self._load is None:
            return
        try:
            settings, model = self._load()
            segmenter_config(settings.speech, model.info.window)
            self._publisher.reload_keys()
        except Exception as error:  # a daemon that runs does not end by what it reads
            name = "" if isinstance(error, UserError) else f"{type(error).__name__}: "
            message = " ".join(f"the old settings stay: {name}{error}".split())
            self._fault("settings_rejected", message, recovered=True)
            return
        self._say_when_fallen_back(model)
        if (model.ref, model.backend.name) == (self._model.ref, self._model.backend.name):
            self._model.reason = model.reason
            model = self._model
        for intake in self._intakes.values():
            intake.renew(lambda old: old.successor(model, settings.speech, settings.decision))
        later = [
            section
            for section in ("audio", "source", "events", "journal", "metrics")
            if getattr(settings, section) != getattr(self._settings, section)
        ]
        if later:
            self._fault(
                "restart_needed",
                f"what is new in {', '.join(later)} takes effect when the daemon starts again",
                recovered=True,
            )
        self._settings, self._model = settings, model
        log.info(
            "settings read anew; %s %s on %s",
            model.info.name,
            model.info.version,
            model.backend.name,
        )

    def _say_when_fallen_back(self, model: Model) -> None:
        if model.fell_back:
            message = f"{model.backend.name} runs the model, not tensorrt: {model.reason}"
            self._fault("backend_fell_back", message, recovered=True)

    def _thread(self, name: str, work: Callable[[], None]) -> threading.Thread:
        return threading.Thread(target=self._guarded, args=(work,), name=name)

    def _guarded(self, work: Callable[[], None]) -> None:
        """No thread dies unnoticed: its exception ends the daemon."""
        try:
            work()
        except BaseException as failure:
            self._failure = self._failure or failure
            self._backlog.close()
        finally:
            self._wake()

    def _listen(self, work: Callable[[], None]) -> None:
        while self._await_subscriber and not self._publisher.subscriptions:
            if self._is_over():
                return
            time.sleep(0.02)
        work()

    def _infer(self) -> None:
        while batch := self._backlog.get():
            started_at = time.time()
            try:
                scores = batch[0].stream.model.scores([window.pieces for window in batch])
            except Exception as error:  # the backend's exceptions share no base class
                for window in batch:
                    self._intake_of(window).failed(window, error)
            else:
                for window, row in zip(batch, scores, strict=True):
                    event = window.stream.decide(window, row, started_at)
                    log.debug("%s %s %.2f", event.kind, event.label, event.confidence)
                    self._intake_of(window).decided(event)
                    self._publisher.publish(event, window.captured_at)
            finally:
                self._backlog.done()

    def _intake_of(self, window: Window) -> Intake:
        return self._intakes[window.stream.name]


def _journal(settings: JournalSettings) -> JournalPlace | None:
    place = JournalPlace(settings.file, settings.max_days, settings.max_mb)
    return place if settings.enabled else None
