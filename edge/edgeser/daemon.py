"""The daemon: one source, one inference worker, one publisher, and a status every second.

Sound flows through three threads: ``audio`` (source to windows), ``inference`` (windows to
events) and the publisher's own. The main thread says how things are and waits for the end.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable

from edgeser.audio.source import AudioBlock, AudioFault, Source
from edgeser.backlog import Backlog
from edgeser.events.publisher import Publisher
from edgeser.events.schema import Counters, EmotionEvent, Event, FaultEvent, State, StatusEvent
from edgeser.model.model import Model
from edgeser.settings import Settings
from edgeser.stream import Stream, StreamOutput, Window

log = logging.getLogger(__name__)

STATUS_INTERVAL_S = 1.0
DEAF_AFTER_S = 2.0
"""No block for so long is ``no_audio``, whatever the source says of itself."""

DEGRADED_FOR_S = 10.0
"""How long a dropped window or a failed inference shows in the state."""


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
        self._source = source
        self._model = model
        self._once = once
        self._await_subscriber = await_subscriber
        name = settings.audio.stream or source.name
        self._stream = Stream(name, model.info, model.ref, settings.speech, settings.decision)
        self._backlog = Backlog()
        self._wake = threading.Event()
        self._stopping = threading.Event()
        self._ended = threading.Event()
        self._failure: BaseException | None = None
        self._started_at = time.monotonic()
        self._heard_at: float | None = None
        self._troubled_at: float | None = None
        self._counts: Counter[str] = Counter()
        self._dropped: Counter[str] = Counter()  # since the last status, by reason
        self._publisher = Publisher(settings.events.bind, on_subscribe=self._wake.set)

    def run(self) -> None:
        """Listen until the end. Raises what ended a thread: UserError, or a defect of ours."""
        audio = threading.Thread(target=self._guarded, args=(self._listen,), name="audio")
        inference = threading.Thread(target=self._guarded, args=(self._infer,), name="inference")
        inference.start()
        audio.start()
        try:
            while not self._is_over():
                self._report()
                if self._wake.wait(STATUS_INTERVAL_S):
                    self._wake.clear()
        finally:
            self._source.close()
            audio.join()
            self._backlog.close()
            inference.join()
            self._report()
            self._publisher.close()
        if self._failure is not None:
            raise self._failure

    def stop(self) -> None:
        """Finish the open segment and return from ``run``; from any thread or a signal handler."""
        self._stopping.set()
        self._wake.set()

    def _is_over(self) -> bool:
        ended = self._once and self._ended.is_set()
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

    # In the audio thread

    def _listen(self) -> None:
        while self._await_subscriber and not self._publisher.subscriptions:
            if self._stopping.wait(0.02):
                return
        for item in self._source.blocks():
            if isinstance(item, AudioFault):
                self._fault(item.code, item.message, recovered=item.recovered)
                continue
            if self._heard_at is None:
                log.info(
                    "ready: %s heard, %s on %s, events at %s",
                    self._stream.name,
                    self._model.info.name,
                    self._model.backend.name,
                    " ".join(self._publisher.endpoints),
                )
            self._heard_at = time.monotonic()
            self._count(item)
            self._route(self._stream.push(item))
        self._route(self._stream.finish())
        self._backlog.wait_until_idle()
        self._ended.set()

    def _count(self, block: AudioBlock) -> None:
        self._counts["samples"] += len(block.samples)
        self._counts["lost_samples"] += max(0, block.first_sample - self._stream.position)
        self._counts["overflows"] += block.overflowed

    def _route(self, outputs: list[StreamOutput]) -> None:
        for output in outputs:
            if isinstance(output, Window):
                displaced = self._backlog.put(output)
                if displaced:
                    self._drop(
                        displaced,
                        "its final came first"
                        if output.kind == "final"
                        else "a newer one came first",
                    )
                if not self._source.live:
                    self._backlog.wait_until_idle()
            else:
                self._counts["segments"] += output.state == "start"
                self._publish(output)

    def _drop(self, window: Window, reason: str) -> None:
        self._stream.dropped(windows=1)
        self._counts["dropped_windows"] += 1
        self._dropped[reason] += 1
        self._troubled_at = time.monotonic()

    # In the inference thread

    def _infer(self) -> None:
        while (window := self._backlog.get()) is not None:
            started_at = time.time()
            try:
                scores = self._model.scores([window.features])[0]
            except Exception as error:  # the backend's exceptions share no base class
                self._troubled_at = time.monotonic()
                self._fault(
                    "inference_failed",
                    f"{window.kind} of segment {window.segment} is lost: {error}",
                    recovered=False,
                )
            else:
                event = self._stream.decide(window, scores, started_at)
                self._counts[event.kind] += 1
                self._publish(event, window.captured_at)
            finally:
                self._backlog.done()

    # In any thread

    def _publish(self, event: Event, captured_at: float | None = None) -> None:
        self._publisher.publish(event, captured_at)
        if isinstance(event, EmotionEvent):
            log.debug("%s %s %.2f", event.kind, event.label, event.confidence)

    def _fault(self, code: str, message: str, *, recovered: bool) -> None:
        self._counts["faults"] += 1
        log.log(logging.INFO if recovered else logging.WARNING, "%s: %s", code, message)
        self._publish(
            FaultEvent(stream=self._stream.name, code=code, message=message, recovered=recovered)
        )

    # In the main thread

    def _report(self) -> None:
        """Publish a status, and in one fault each what was dropped since the last."""
        while self._dropped:
            reason, windows = self._dropped.popitem()
            self._fault(
                "window_dropped", f"{windows} partial windows dropped: {reason}", recovered=True
            )
        counts = self._counts
        now = time.monotonic()
        self._publisher.publish(
            StatusEvent(
                stream=self._stream.name,
                state=self._state(now),
                frame_age_s=None if self._heard_at is None else round(now - self._heard_at, 3),
                uptime_s=round(now - self._started_at, 3),
                position_s=self._stream.position / self._model.info.front_end.sample_rate,
                counters=Counters(
                    samples=counts["samples"],
                    lost_samples=counts["lost_samples"],
                    overflows=counts["overflows"],
                    restarts=self._source.restarts,
                    segments=counts["segments"],
                    partials=counts["partial"],
                    finals=counts["final"],
                    dropped_windows=counts["dropped_windows"],
                    faults=counts["faults"],
                ),
                model=self._model.ref,
                backend=self._model.backend.name,
                last_seq={},
            )
        )

    def _state(self, now: float) -> State:
        if self._is_over():
            return "stopping"
        if self._heard_at is None:
            return "starting" if now - self._started_at < DEAF_AFTER_S else "no_audio"
        if self._ended.is_set() or now - self._heard_at > DEAF_AFTER_S:
            return "no_audio"
        if self._troubled_at is not None and now - self._troubled_at < DEGRADED_FOR_S:
            return "degraded"
        return "speech" if self._stream.in_speech else "listening"
