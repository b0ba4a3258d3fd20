"""The inference worker: windows out of the backlog, through the model, to emotion events."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping

from edgeser.daemon.backlog import Backlog
from edgeser.daemon.reporter import StreamReporter
from edgeser.decider import Decider
from edgeser.errors import UserError
from edgeser.events.schema import EmotionEvent
from edgeser.model.network import Answer
from edgeser.window import Window

log = logging.getLogger(__name__)


class Inference:
    """Runs batches of windows, in one thread, until the backlog is closed and empty."""

    def __init__(
        self,
        backlog: Backlog,
        deciders: Mapping[str, Decider],
        reporters: Mapping[str, StreamReporter],
        publish: Callable[[EmotionEvent, float], None],
    ) -> None:
        """``deciders``, ``reporters``: by stream. ``publish``: an event, its window's capture."""
        self._backlog = backlog
        self._deciders = deciders
        self._reporters = reporters
        self._publish = publish

    def run(self) -> None:
        """Work until the backlog is closed and empty. However it ends, nobody is left waiting."""
        try:
            self._work()
        finally:
            self._backlog.abandon()

    def _work(self) -> None:
        while batch := self._backlog.get():
            started_at = time.monotonic()
            try:
                answers = batch[0].model.answers([window.speech for window in batch])
            except Exception as error:  # the backend's exceptions share no base class
                for window in batch:
                    self._reporters[window.stream].failed(window, error)
            else:
                for window, answer in zip(batch, answers, strict=True):
                    self._decide(window, answer, started_at)
            finally:
                self._backlog.done()

    def _decide(self, window: Window, answer: Answer, started_at: float) -> None:
        reporter = self._reporters[window.stream]
        try:
            event = self._deciders[window.stream].decide(window, answer, started_at)
        except UserError as error:
            reporter.failed(window, error)
            return
        log.debug("%s %s %.2f", event.kind, event.label, event.confidence)
        reporter.decided(event)
        self._publish(event, window.captured_at)
