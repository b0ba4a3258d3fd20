"""Saves the baselines of voices that streams learn, and loads those that were changed on disk."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field

from edgeser.baselines.store import BaselineStore, Version, fingerprint
from edgeser.daemon.intake import Intake, Learned
from edgeser.daemon.threads import Threads
from edgeser.decider import Decider
from edgeser.errors import UserError
from edgeser.events.wire.lock import FileLock
from edgeser.features.baseline import Baseline
from edgeser.model.centring import LogitBaseline

log = logging.getLogger(__name__)

SAVE_INTERVAL_S = 30.0
"""A process that is killed loses what was learned since the last save."""

END_WITHIN_S = 5.0
"""How long a stopping daemon waits for the disk; its service manager waits for 10 s."""


@dataclass
class _Kept:
    """What a stream's file held when we last read or wrote it: ``baselines`` by the fingerprint of
    their front end, ``usuals`` by the SHA-256 of their model. ``lock``: None until we hold it.
    """

    lock: FileLock | None = None
    version: Version | None = None
    baselines: dict[str, Baseline] = field(default_factory=dict)
    usuals: dict[str, LogitBaseline] = field(default_factory=dict)
    saved_at: float = float("-inf")


class BaselineKeeper:
    """Keeps the baselines of some streams. For one thread, not the one that hears.

    A file that another process has written or removed wins: that is how ``edgeser baseline``
    reaches a running daemon. One that another daemon keeps is left alone until that daemon has
    ended. A read-only file is still read.
    """

    def __init__(
        self, store: BaselineStore, intakes: Iterable[Intake], deciders: Mapping[str, Decider]
    ) -> None:
        """``deciders``: by stream, of all intakes at least."""
        self._store = store
        self._deciders = deciders
        self._kept = {intake.name: (intake, _Kept()) for intake in intakes}
        self._troubles: set[str] = set()

    @property
    def keeps_any(self) -> bool:
        """There are streams whose baselines are to be kept."""
        return bool(self._kept)

    def sync(self, *, ending: bool = False) -> None:
        """Take over what was changed on the disk, or keep what was learned.

        To be called every second or so, and once with ``ending`` when nothing is heard any more.
        """
        for stream, (intake, kept) in self._kept.items():
            try:
                self._sync(stream, intake, kept, ending=ending)
            except (UserError, OSError) as error:
                self._complain(stream, str(error))

    def close(self) -> None:
        """Release the files to other daemons."""
        for stream, (_, kept) in self._kept.items():
            lock, kept.lock = kept.lock, None
            try:
                if lock is not None:
                    lock.release()
            except OSError as error:
                self._complain(stream, str(error))

    def _sync(self, stream: str, intake: Intake, kept: _Kept, *, ending: bool) -> None:
        with suppress(OSError):  # a read-only file is still read; _save raises this again
            self._lock(stream, kept)
        decider, version = self._deciders[stream], self._store.version(stream)
        if version != kept.version:
            kept.version = version
            self._hand_over(stream, intake, decider, kept)
            return
        if intake.is_adopting or decider.is_adopting:
            return
        while intake.retired_baselines:  # each is removed once saved: the disk may be full now
            self._save(stream, intake.retired_baselines[0], decider, kept)
            intake.retired_baselines.popleft()
        learned = intake.learned
        due = ending or time.monotonic() - kept.saved_at >= SAVE_INTERVAL_S
        if learned is not None and due:
            self._save(stream, learned, decider, kept)

    def _lock(self, stream: str, kept: _Kept) -> None:
        """Take the lock unless we hold it. Raises UserError if another daemon does, and OSError."""
        if kept.lock is None:
            kept.lock = self._store.lock(stream)

    def _hand_over(self, stream: str, intake: Intake, decider: Decider, kept: _Kept) -> None:
        """Hand over all that the file holds, for whichever model takes over."""
        kept.baselines, kept.usuals = {}, {}
        self._store.load(stream, intake.hearing.model.info.front_end)  # raises for other bands
        read = self._store.read(stream)
        found = [] if read is None else [*reversed(read.others), read]  # the latest counts
        kept.baselines = {one.front_end: one.baseline for one in found}
        usuals = [one.logit_baseline for one in found]
        kept.usuals = {usual.model: usual for usual in usuals if usual is not None}
        intake.adopt(dict(kept.baselines))
        decider.adopt(None)
        for usual in kept.usuals.values():
            decider.adopt(usual)
        intake.retired_baselines.clear()

    def _save(self, stream: str, learned: Learned, decider: Decider, kept: _Kept) -> None:
        """Write what was learned since the file was last read or written, if anything."""
        model, front_end, baseline = learned
        own, usual = fingerprint(front_end), decider.logit_baseline(model)
        if not baseline.frames:
            return
        usual_is_new = usual is not None and usual is not kept.usuals.get(model)
        if baseline is kept.baselines.get(own) and not usual_is_new:
            return
        self._lock(stream, kept)
        kept.version = self._store.save(stream, front_end, baseline, usual)
        kept.baselines[own], kept.saved_at = baseline, time.monotonic()
        if usual is not None:
            kept.usuals[model] = usual

    def _complain(self, stream: str, trouble: str) -> None:
        """Log each trouble once: it will most likely recur every second."""
        if trouble not in self._troubles:
            self._troubles.add(trouble)
            log.warning("%s: the baseline of the voice is not kept: %s", stream, trouble)


class BaselineThread:
    """Runs a keeper in a thread of its own: a slow disk must not hold up the main thread, which
    notifies the watchdog.
    """

    def __init__(self, keeper: BaselineKeeper, on_end: Callable[[], None]) -> None:
        """``on_end``: called in the thread when it ends."""
        self._keeper = keeper
        self._threads = Threads(on_end, may_outlast=True)
        self._due = threading.Event()
        self._is_ending = False

    @property
    def failure(self) -> BaseException | None:
        """The exception that ended the thread."""
        return self._threads.failure

    def start(self) -> None:
        """Take turns from now on. Raises UserError when the machine has no more threads."""
        if self._keeper.keeps_any:
            self._threads.start("baselines", self._run)

    def turn(self) -> None:
        """Sync soon; calls that come while the disk is busy count as one."""
        self._due.set()

    def end(self) -> None:
        """Save what was learned last, once nothing is heard any more."""
        self._is_ending = True
        self._due.set()
        if not self._threads.join(END_WITHIN_S):
            log.warning(
                "what was learnt about voices is not saved: the disk has not responded for %.0f s",
                END_WITHIN_S,
            )

    def _run(self) -> None:
        is_ending = False
        while not is_ending:
            self._due.wait()
            self._due.clear()
            is_ending = self._is_ending
            self._keeper.sync(ending=is_ending)
        self._keeper.close()
