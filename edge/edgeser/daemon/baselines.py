"""Brings what streams learn of their voices to the disk, and what was changed there to them."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from edgeser.baselines.store import BaselineStore, Version
from edgeser.daemon.intake import Intake
from edgeser.decider import Decider
from edgeser.errors import UserError
from edgeser.features import FrontEnd
from edgeser.features.baseline import Baseline
from edgeser.model.centring import Usual

log = logging.getLogger(__name__)

SAVE_INTERVAL_S = 30.0
"""What was learned since is lost when the process is killed."""


@dataclass
class _Kept:
    """What the file of a stream held when we last read or wrote it, for which front end, and when
    that was.
    """

    version: Version | None = None
    front_end: FrontEnd | None = None
    baseline: Baseline | None = None
    usual: Usual | None = None
    saved_at: float = float("-inf")


class BaselineKeeper:
    """Keeps the baselines of some streams. For one thread, not the one that hears.

    A file that somebody else wrote or removed since wins: that is how ``edgeser baseline`` reaches
    a daemon that runs.
    """

    def __init__(
        self, store: BaselineStore, intakes: Iterable[Intake], deciders: Mapping[str, Decider]
    ) -> None:
        """``deciders``: by stream, of all intakes at least."""
        self._store = store
        self._deciders = deciders
        self._kept = {intake.name: (intake, _Kept()) for intake in intakes}
        self._troubles: set[str] = set()

    def sync(self, *, ending: bool = False) -> None:
        """Take over what was changed on the disk, or keep what was learned.

        To be called every second or so, and once with ``ending`` when nothing is heard any more.
        """
        for stream, (intake, kept) in self._kept.items():
            try:
                self._sync(stream, intake, kept, ending=ending)
            except (UserError, OSError) as error:
                self._complain(stream, str(error))

    def _sync(self, stream: str, intake: Intake, kept: _Kept, *, ending: bool) -> None:
        hearing, decider = intake.hearing, self._deciders[stream]  # another may take its place
        info, front_end = hearing.model.info, hearing.model.info.front_end
        if not info.learns_voices:
            kept.front_end = None
            return
        version = self._store.version(stream)
        is_changed = version != kept.version
        if is_changed or front_end != kept.front_end:
            kept.version, kept.front_end = version, front_end
            kept.baseline = self._store.load(stream, front_end)
            kept.usual = self._store.usual(stream, front_end)
            if is_changed or kept.baseline is not None:
                intake.adopt(front_end, kept.baseline)
                decider.adopt(kept.usual)
                return
        baseline, usual = hearing.baseline, decider.usual_of(hearing.model.ref.sha256)
        is_new = (baseline.frames and baseline is not kept.baseline) or (
            usual is not None and usual is not kept.usual
        )
        due = ending or time.monotonic() - kept.saved_at >= SAVE_INTERVAL_S
        if is_new and due and not (intake.is_adopting or decider.is_adopting):
            kept.version = self._store.save(stream, front_end, baseline, usual)
            kept.baseline, kept.usual, kept.saved_at = baseline, usual, time.monotonic()

    def _complain(self, stream: str, trouble: str) -> None:
        """Once for each trouble: it will most likely come again every second."""
        if trouble not in self._troubles:
            self._troubles.add(trouble)
            log.warning("%s: the baseline of the voice is not kept: %s", stream, trouble)
