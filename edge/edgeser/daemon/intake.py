"""An intake: one source, its hearing, and its state."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import NamedTuple

import msgspec

from edgeser.audio.source import AudioBlock, AudioFault, Source
from edgeser.baselines.store import fingerprint
from edgeser.daemon.backlog import Backlog
from edgeser.daemon.mute import Mute
from edgeser.daemon.reporter import FINAL_FIRST, NEWER_FIRST, StreamReporter
from edgeser.events.schema import Counters, LevelEvent, State, StatusEvent
from edgeser.features import FrontEnd
from edgeser.features.baseline import Baseline, no_baseline
from edgeser.hearing import Hearing, HearingOutput
from edgeser.model.model import Model
from edgeser.settings.schema import SpeechSettings
from edgeser.window import Window

log = logging.getLogger(__name__)

QUIET_BLOCK_FRAMES = 5
"""Frames of a block in silence, 0.1 s: the machine wakes ten times a second, not fifty, and the
beginning of speech is detected up to 80 ms later."""

MAX_SPEECH_BLOCK_FRAMES = 25
"""Most frames of a block in speech, 0.5 s; fewer where one of them may produce an output."""

LEVELS_WANTED_FOR_S = 1.0
"""For this long after a level was read, blocks have at most ``QUIET_BLOCK_FRAMES`` frames, so that
there is a new level five times a second."""

DEAF_AFTER_S = 2.0
"""After this long without a block the state is ``no_audio``, whatever the source reports."""

RENEWED_WITHIN_S = 10.0
"""How long new settings wait for the end of a segment."""


MAX_RETIRED = 8
"""Baselines of replaced models held for saving; if nothing saves them, the oldest are dropped."""


class Learned(NamedTuple):
    """The baseline of a voice for a front end, and the SHA-256 of the model's file."""

    model: str
    front_end: FrontEnd
    baseline: Baseline


class _Renewal(NamedTuple):
    asked_at: float
    model: Model
    speech: SpeechSettings
    began: Callable[[int], None]


class Intake:
    """Hears a source, publishes its speech, and puts its windows into the backlog.

    ``listen``, or ``hear`` and ``end``, belong to one thread; the other methods to any.
    """

    def __init__(
        self,
        source: Source,
        hearing: Hearing,
        reporter: StreamReporter,
        backlog: Backlog,
        mute: Mute | None = None,
    ) -> None:
        """``mute``: while it is on, blocks of the source are ignored."""
        self.source = source
        self.hearing = hearing
        self.reporter = reporter
        self.ended = threading.Event()
        self.lost: str | None = None
        """Why the source gives no sound at present; None while it does."""
        self.wrong_pace = False
        """Sound comes faster or slower than time passes, so events are wrong."""
        self._backlog = backlog
        self._mute = mute or Mute()
        self._started_at = time.monotonic()
        self._heard_at: float | None = None
        self._levels_asked_at = float("-inf")
        self._adoptions: deque[Mapping[str, Baseline]] = deque()
        self._known: dict[str, Baseline] = {}  # by front end: a replaced model may come back
        self.retired_baselines: deque[Learned] = deque(maxlen=MAX_RETIRED)
        """Baselines learned by models that were replaced; whoever saves them removes them."""
        self._renewal: _Renewal | None = None
        self._renewal_lock = threading.Lock()

    @property
    def name(self) -> str:
        """The stream's name."""
        return self.hearing.name

    @property
    def counters(self) -> Counters:
        """Totals since the start."""
        return msgspec.structs.replace(self.reporter.totals, restarts=self.source.restarts)

    @property
    def is_deaf(self) -> bool:
        """No sound arrives, though it should by now."""
        age_s = self.frame_age_s
        if age_s is None:
            return time.monotonic() - self._started_at > DEAF_AFTER_S
        return age_s > DEAF_AFTER_S

    @property
    def frame_age_s(self) -> float | None:
        """Seconds since the last block; None before the first."""
        return None if self._heard_at is None else time.monotonic() - self._heard_at

    @property
    def is_muted(self) -> bool:
        """Blocks of the source are ignored at present."""
        return self._mute.is_on

    @property
    def state(self) -> State:
        """How the stream is, as the status event says it."""
        if self.is_deaf or self.ended.is_set():
            return "no_audio"
        if self._heard_at is None:
            return "starting"
        if self.reporter.is_degraded or self.wrong_pace:
            return "degraded"
        return "speech" if self.hearing.in_speech else "listening"

    @property
    def model(self) -> Model:
        """The model for what is heard next; without sound, a new one only waits for a block."""
        renewal, hearing = self._renewal, self.hearing
        if renewal is None or hearing.is_open or not self.is_deaf:
            return hearing.model
        return renewal.model

    def status(self, *, stopping: bool) -> StatusEvent:
        """How the stream is, as an event."""
        age_s = self.frame_age_s
        model, meter = self.model, self.hearing.meter
        floor_dbfs = meter.floor_dbfs
        return StatusEvent(
            stream=self.name,
            state="stopping" if stopping else self.state,
            frame_age_s=None if age_s is None else round(age_s, 3),
            uptime_s=round(time.monotonic() - self._started_at, 3),
            position_s=self.hearing.position_s,
            muted=self.is_muted,
            wrong_pace=self.wrong_pace,
            counters=self.counters,
            model=model.ref,
            backend=model.backend.name,
            backend_reason=model.reason,
            level_dbfs=meter.take(),
            noise_floor_dbfs=None if floor_dbfs is None else round(floor_dbfs, 2),
            labels=model.labels,
        )

    def level(self) -> LevelEvent:
        """How loud it was since this was last asked, as an event."""
        meter, now = self.hearing.fast_meter, time.monotonic()
        if now - self._levels_asked_at > LEVELS_WANTED_FOR_S:
            meter.take()  # discards the time in which nobody asked
        self._levels_asked_at = now
        floor_dbfs = meter.floor_dbfs
        return LevelEvent(
            stream=self.name,
            speech=self.hearing.in_speech,
            level_dbfs=meter.take(),
            noise_floor_dbfs=None if floor_dbfs is None else round(floor_dbfs, 2),
        )

    def listen(self) -> None:
        """Hear the source to its end. Raises UserError when it cannot be opened."""
        try:
            for item in self.source.blocks():
                self.hear(item)
        finally:
            self.end()

    def hear(self, item: AudioBlock | AudioFault) -> None:
        """Take what the source gave next."""
        if isinstance(item, AudioFault):
            if item.code == "audio_pace":
                self.wrong_pace = not item.recovered
            else:
                self.lost = None if item.recovered else item.message
            if item.code == "audio_lost":  # perhaps for long, so the final does not wait for more
                self._route(self.hearing.end_segment())
            self.reporter.fault(item.code, item.message, recovered=item.recovered)
            return
        if self._renewal is not None:  # before the block, in which speech may begin
            self._renew(self._renewal)
        if self._heard_at is None:
            log.info("ready: %s is heard", self.name)
        self._heard_at = time.monotonic()
        self._adopt()
        lost = max(0, item.first_sample - self.hearing.position)
        self.reporter.heard(len(item.samples), lost, overflowed=item.overflowed)
        self._route(self.hearing.skip(item) if self.is_muted else self.hearing.push(item))
        self.source.frames_at_once = self._frames_at_once

    def end(self) -> None:
        """The source has ended: so does the open segment. May be called twice."""
        self._route(self.hearing.finish())
        self.ended.set()

    def renew(self, model: Model, speech: SpeechSettings, began: Callable[[int], None]) -> None:
        """Go on with another model and settings as soon as no segment is open.

        ``began`` is then called with the number of the last segment of the old ones.

        After ``RENEWED_WITHIN_S`` of unbroken speech the open segment is cut short, and its final
        published.
        """
        with self._renewal_lock:
            self._renewal = _Renewal(time.monotonic(), model, speech, began)

    def adopt(self, known: Mapping[str, Baseline]) -> None:
        """Use these baselines of the voice from the next silence on.

        ``known``: by the fingerprint of the front end; other front ends have none.
        """
        self._adoptions.append(known)

    @property
    def learned(self) -> Learned | None:
        """The voice's baseline so far for the model in force; None if it learns no voices."""
        hearing = self.hearing  # read once: another thread may replace it
        model = hearing.model
        if not model.info.learns_voices:
            return None
        return Learned(model.ref.sha256, model.info.front_end, hearing.baseline)

    @property
    def is_adopting(self) -> bool:
        """A baseline waits to be adopted."""
        return bool(self._adoptions)

    def _adopt(self) -> None:
        while self._adoptions and not self.hearing.in_speech:
            self._known = dict(self._adoptions[0])
            front_end = self.hearing.model.info.front_end
            self.hearing.baseline = self._baseline_for(front_end) or no_baseline(front_end.bins)
            self._adoptions.popleft()

    def _baseline_for(self, front_end: FrontEnd) -> Baseline | None:
        known = self._known.get(fingerprint(front_end))
        return known if known is not None and len(known.mean) == front_end.bins else None

    def _renew(self, renewal: _Renewal) -> None:
        if self.hearing.is_open:
            if time.monotonic() - renewal.asked_at < RENEWED_WITHIN_S:
                return
            self._route(self.hearing.end_segment())
        with self._renewal_lock:
            if self._renewal is renewal:  # else a newer one waits for the next block
                self._renewal = None
        renewal.began(self.hearing.state.segments)
        self._adopt()
        retired, model = self.learned, renewal.model
        if retired is not None and retired.model != model.ref.sha256:
            self._known[fingerprint(retired.front_end)] = retired.baseline
            self.retired_baselines.append(retired)
        known = self._baseline_for(model.info.front_end)
        self.hearing = self.hearing.successor(model, renewal.speech, known)

    @property
    def _frames_at_once(self) -> int:
        """Frames of the next block; in speech few enough that no event is delayed."""
        if self.hearing.is_quiet:
            return QUIET_BLOCK_FRAMES
        if not self.source.block_size_is_immediate:
            return 1
        levels_wanted = time.monotonic() - self._levels_asked_at < LEVELS_WANTED_FOR_S
        limit = QUIET_BLOCK_FRAMES if levels_wanted else MAX_SPEECH_BLOCK_FRAMES
        return max(1, min(self.hearing.calm_frames, limit))

    def _route(self, outputs: list[HearingOutput]) -> None:
        for output in outputs:
            if not isinstance(output, Window):
                if output.state == "start":
                    self.reporter.segment_began()
                elif output.reason == "not_speech":
                    self.reporter.segment_rejected()
                self.reporter.publish(output)
                continue
            if self._backlog.put(output):
                self.reporter.dropped(FINAL_FIRST if output.kind == "final" else NEWER_FIRST)
            if not self.source.live:
                self._backlog.wait_until_done(self.name)
