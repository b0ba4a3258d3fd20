"""The daemon: an intake, one inference worker, one publisher, and a status every second.

Sound flows through three threads: ``audio`` (source to windows), ``inference`` (windows to
events) and the publisher's own. The main thread says how things are and waits for the end.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from edgeser.audio.source import Source
from edgeser.backlog import Backlog
from edgeser.events.publisher import Publisher
from edgeser.intake import Intake
from edgeser.model.model import Model
from edgeser.settings import Settings
from edgeser.stream import Stream

log = logging.getLogger(__name__)

STATUS_INTERVAL_S = 1.0


class Daemon:
    """Runs one stream from its source to its events.

    ``run`` returns when the source has ended (``once``) or ``stop`` was called, after the open
    segment's final event has been published.
    """

    def __init__(
        self,
        settings: Settings,
        source: Source,
        model: Model,
        *,
        once: bool = False,
        await_subscriber: bool = False,
    ) -> None:
        """Bind the endpoints. Raises UserError if that or a setting is impossible.

        ``await_subscriber``: leave the source alone until somebody listens.
        """
        self._model = model
        self._once = once
        self._await_subscriber = await_subscriber
        name = settings.audio.stream or source.name
        stream = Stream(name, model, settings.speech, settings.decision)
        self._wake = threading.Event()
        self._stopping = threading.Event()
        self._failure: BaseException | None = None
        self._backlog = Backlog()
        self._publisher = Publisher(settings.events.bind, on_subscribe=self._wake.set)
        self._intake = Intake(source, stream, self._backlog, self._publisher.publish)
        log.info(
            "%s on %s, events at %s",
            model.info.name,
            model.backend.name,
            " ".join(self._publisher.endpoints),
        )

    def run(self) -> None:
        """Listen until the end. Raises what ended a thread: UserError, or a defect of ours."""
        audio = threading.Thread(target=self._guarded, args=(self._listen,), name="audio")
        inference = threading.Thread(target=self._guarded, args=(self._infer,), name="inference")
        inference.start()
        audio.start()
        try:
            while not self._is_over():
                self._intake.report(self._model.backend.name, stopping=False)
                if self._wake.wait(STATUS_INTERVAL_S):
                    self._wake.clear()
        finally:
            self._intake.source.close()
            audio.join()
            self._backlog.close()
            inference.join()
            self._intake.report(self._model.backend.name, stopping=True)
            self._publisher.close()
        if self._failure is not None:
            raise self._failure

    def stop(self) -> None:
        """Finish the open segment and return from ``run``; from any thread or a signal handler."""
        self._stopping.set()
        self._wake.set()

    def _is_over(self) -> bool:
        ended = self._once and self._intake.ended.is_set()
        return ended or self._stopping.is_set() or self._failure is not None

    def _guarded(self, work: Callable[[], None]) -> None:
        """No thread dies unnoticed: its exception ends the daemon."""
        try:
            work()
        except BaseException as failure:
            self._failure = self._failure or failure
            self._backlog.close()
        finally:
            self._wake.set()

    def _listen(self) -> None:
        while self._await_subscriber and not self._publisher.subscriptions:
            if self._stopping.wait(0.02):
                return
        self._intake.listen()

    def _infer(self) -> None:
        while (window := self._backlog.get()) is not None:
            started_at = time.time()
            try:
                scores = window.stream.model.scores([window.features])[0]
            except Exception as error:  # the backend's exceptions share no base class
                self._intake.failed(window, error)
            else:
                event = window.stream.decide(window, scores, started_at)
                log.debug("%s %s %.2f", event.kind, event.label, event.confidence)
                self._intake.decided(event.kind)
                self._publisher.publish(event, window.captured_at)
            finally:
                self._backlog.done()
