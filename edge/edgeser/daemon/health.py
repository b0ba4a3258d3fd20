"""Whether the daemon is healthy, and what is reported to the service manager.

It is reported ready when sound arrives, or when microphones may connect, and alive while sound and
inference flow. ``troubles`` shows a problem long before the watchdog notifications stop, since most
problems pass.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from edgeser.audio.network.stream import NetworkStream
from edgeser.daemon.backlog import Backlog
from edgeser.daemon.intake import Intake
from edgeser.daemon.service_manager import ServiceManager

STUCK_AFTER_S = 10.0
"""Inference takes milliseconds: when a window takes this long, it is a trouble."""

DEAF_LIMIT_S = 300.0
"""A lost microphone is reopened for this long; then a restart of the daemon is tried."""

SILENT_LIMIT_S = 90.0
"""A live source that gives no block for this long, and reports no loss, is stuck.

Longer than any ``audio.stall_seconds``, after which a microphone reports that it hears nothing.
"""

TELL_INTERVAL_S = 1.0
"""How often ``tell`` is called, at least."""


class Health:
    """Knows whether the daemon is well, and notifies the service manager from the main thread.

    ``troubles`` may be asked from any thread.
    """

    def __init__(
        self, intakes: Mapping[str, Intake], backlog: Backlog, manager: ServiceManager | None = None
    ) -> None:
        self._intakes = intakes
        self._backlog = backlog
        self._manager = manager or ServiceManager()
        self._is_ready = False
        self._alive_at = float("-inf")
        self._hopeless: str | None = None

    def troubles(self) -> list[str]:
        """Why the daemon is not well, a line each; empty when it is."""
        found = [f"{name}: no audio" for name, intake in self._to_hear().items() if intake.is_deaf]
        if self._backlog.working_s > STUCK_AFTER_S:
            found.append(f"inference: stuck for {self._backlog.working_s:.0f} s")
        return found

    def tell(self, *, journal_is_off: bool = False) -> None:
        """Report readiness, state and, while nothing is stuck, a sign of life.

        A journal that is off, or a microphone that records at another rate, is only reported: a
        restart would not help.

        When the signs of life stop, upon which the manager restarts the daemon, and when they
        resume, a fault is published.
        """
        manager = self._manager
        if not self._is_ready and any(map(_is_ready, self._intakes.values())):
            self._is_ready = True
            manager.ready()
        wrong_pace = any(intake.wrong_pace for intake in self._intakes.values())
        status = f"{self._status()}; events are not kept" if journal_is_off else self._status()
        manager.status(status, well=not (journal_is_off or wrong_pace or self.troubles()))
        if manager.watchdog_s is None:
            return
        self._say(self._stuck(manager.watchdog_s))
        now = time.monotonic()
        # At half of the interval; sooner if the next call would come later than that.
        if not self._hopeless and now - self._alive_at + TELL_INTERVAL_S > manager.watchdog_s / 2:
            self._alive_at = now
            manager.alive()

    @contextmanager
    def reloading(self) -> Iterator[None]:
        """Report that settings are being reloaded while the block runs."""
        if not self._is_ready:  # still starting
            yield
            return
        self._manager.reloading()
        try:
            yield
        finally:
            self._manager.ready()

    def stopping(self) -> None:
        """Tell that the daemon ends."""
        self._manager.stopping()

    def _to_hear(self) -> dict[str, Intake]:
        """The intakes that should get sound: a file that has ended is no trouble."""
        return {name: i for name, i in self._intakes.items() if not i.ended.is_set()}

    def _say(self, reason: str | None) -> None:
        if (reason is None) != (self._hopeless is None):
            message = f"{reason}: the daemon is about to be restarted" if reason else "it goes on"
            for intake in self._intakes.values():
                intake.reporter.fault("restart_due", message, recovered=reason is None)
        self._hopeless = reason

    def _stuck(self, watchdog_s: float) -> str | None:
        """Why only a restart can help; None while none is needed."""
        if self._backlog.working_s > watchdog_s:
            return f"a window has been in work for {self._backlog.working_s:.0f} s"
        heard = {
            name: (intake, age_s)
            for name, intake in self._to_hear().items()
            if (age_s := intake.frame_age_s) is not None
        }
        for name, (intake, age_s) in heard.items():
            excused = intake.lost is not None or not intake.source.live
            if not excused and age_s > SILENT_LIMIT_S:
                return f"{name} has given neither sound nor a fault for {age_s:.0f} s"
        has_own = any(not _is_remote(intake) for intake, _ in heard.values())
        if has_own and min(age_s for _, age_s in heard.values()) > DEAF_LIMIT_S:
            return f"no sound for {DEAF_LIMIT_S:.0f} s"
        return None

    def _status(self) -> str:
        if len(self._intakes) == 1:
            return "".join(map(_described, self._intakes.values()))
        return "; ".join(f"{name}: {_described(i)}" for name, i in self._intakes.items())


def _is_remote(intake: Intake) -> bool:
    """Somebody else switches its device on: a restarted daemon would hear no more of it."""
    return isinstance(intake.source, NetworkStream)


def _is_ready(intake: Intake) -> bool:
    return intake.frame_age_s is not None or _is_remote(intake)


def _described(intake: Intake) -> str:
    """State, age of the last sound, last label: ``listening, heard 0 s ago, last happy 61 %``."""
    words = [intake.state.replace("_", " ")]
    if intake.is_muted:
        words.append("muted")
    if intake.wrong_pace:
        words.append("at the wrong pace")
    if intake.frame_age_s is not None:
        words.append(f"heard {intake.frame_age_s:.0f} s ago")
    if intake.lost is not None:
        words.append(intake.lost)
    if intake.reporter.last is not None:
        words.append(f"last {intake.reporter.last.label} {intake.reporter.last.confidence:.0%}")
    return ", ".join(words)
