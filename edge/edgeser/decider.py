"""Decides for one stream: a window and the network's answer in, an emotion event out.

No threads of its own, no sockets, no clock but the one it is given.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable

import msgspec
import numpy as np

from edgeser.errors import UserError
from edgeser.events.schema import UNKNOWN, EmotionEvent, Latency, Quality
from edgeser.features.baseline import Baseline, no_baseline
from edgeser.features.front_end import Floats
from edgeser.losses import Losses
from edgeser.model.affect import affect_of
from edgeser.model.centring import LogitBaseline
from edgeser.model.decision import Smoother, top_label
from edgeser.model.network import Answer
from edgeser.pcm import SAMPLE_RATE
from edgeser.settings.schema import DecisionSettings
from edgeser.window import Window


class Decider:
    """Label, smoothed state and event of every window of one stream, in order.

    ``decide`` belongs to one thread, the other methods to any. A window brings the model it was cut
    for: when that has other labels than the one before, the smoothed state is reset. Mean logits
    are kept for each model.
    """

    def __init__(
        self,
        settings: DecisionSettings,
        losses: Losses,
        *,
        learn: bool = True,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """``learn``: update the mean logits of the voice with every final. ``clock``: that of the
        hearing, monotonic seconds.
        """
        self._settings = settings
        self._renewal: tuple[int, DecisionSettings] | None = None
        self._losses = losses
        self._clock = clock
        self._smoother: Smoother | None = None
        self._learn = learn
        self._adoptions: deque[LogitBaseline | None] = deque()
        # By model: windows of a replaced one may still be waiting.
        self._known: dict[str, LogitBaseline] = {}
        self._segment = -1, ""
        self._in_force: Baseline | None = None

    def renew(self, settings: DecisionSettings, segment: int) -> None:
        """Use other settings after that segment, whose own windows may still be waiting."""
        self._renewal = segment, settings

    def adopt(self, baseline: LogitBaseline | None) -> None:
        """Use these mean logits of the voice from the next segment on; None forgets all of them."""
        self._adoptions.append(baseline)

    @property
    def is_adopting(self) -> bool:
        """A baseline waits to be adopted."""
        return bool(self._adoptions)

    def logit_baseline(self, model: str) -> LogitBaseline | None:
        """The voice's mean logits so far. ``model``: SHA-256 of its file.

        None where nothing was adopted or learned.
        """
        return self._known.get(model)

    def decide(self, window: Window, answer: Answer, started_at: float) -> EmotionEvent:
        """The event of a window and its network's answer. ``started_at``: when inference began.

        Noise is ``unknown``; it changes neither the smoothed state nor the voice's mean logits.
        Raises UserError for logits that are no numbers, which would spoil both for ever.
        """
        if not np.isfinite(answer.logits).all():
            raise UserError(
                f"model '{window.model.ref.name}': its network gave logits that are no numbers",
                "take another model, or this one in full precision",
            )
        renewal = self._renewal
        if renewal is not None and window.segment > renewal[0]:
            self._settings = renewal[1]
        self._adopt()
        is_noise = answer.noise is not None and answer.noise > self._settings.noise_above
        scores = window.model.scores_of(self._centred(window, answer, is_noise=is_noise))
        settings, info, labels = self._settings, window.model.info, window.model.labels
        affect = affect_of(scores, labels)
        abstain_below = settings.abstain_below
        if abstain_below is None:
            abstain_below = info.abstain_below
        weight, margin = settings.smoothing_weight, settings.smoothing_margin
        if self._smoother is None or self._smoother.labels != labels:
            self._smoother = Smoother(labels, weight, margin)
        self._smoother.tune(weight, margin)
        return EmotionEvent(
            stream=window.stream,
            segment=window.segment,
            kind=window.kind,
            start=window.start / SAMPLE_RATE,
            end=window.end / SAMPLE_RATE,
            label=UNKNOWN if is_noise else top_label(scores, labels, abstain_below),
            confidence=round(min(1.0, float(scores.max())), 6),
            scores={
                label: round(float(score), 6) for label, score in zip(labels, scores, strict=True)
            },
            smoothed=(
                self._smoother.state
                if is_noise
                else self._smoother.update(scores, window.end / SAMPLE_RATE)
            ),
            valence=None if affect is None else round(affect.valence, 6),
            arousal=None if affect is None else round(affect.arousal, 6),
            continued=window.continued,
            quality=_quality(window.quality, answer.noise),
            baseline_s=window.baseline_s,
            latency_ms=_latency(window, started_at, self._clock()),
            model=window.model.ref,
            lost=self._losses.take(),
        )

    def _adopt(self) -> None:
        while self._adoptions:  # each takes effect before it leaves the queue: see is_adopting
            adopted = self._adoptions[0]
            if adopted is None:
                self._known.clear()
            else:
                self._known[adopted.model] = adopted
            self._adoptions.popleft()

    def _centred(self, window: Window, answer: Answer, *, is_noise: bool) -> Floats:
        """Logits centred by the voice's mean logits as they were when the segment began."""
        logits = answer.logits
        model, centring = window.model.ref.sha256, window.model.info.centring
        if centring is None:
            return logits
        known = self._known.get(model)
        baseline = no_baseline(len(logits)) if known is None else known.logits
        if (window.segment, model) != self._segment or self._in_force is None:
            self._segment, self._in_force = (window.segment, model), baseline
        if window.kind == "final" and self._learn and not is_noise:
            frames = (window.end - window.start) // window.model.info.front_end.hop
            self._known[model] = LogitBaseline(model, centring.updated(baseline, logits, frames))
        return centring.centred(logits, self._in_force)


def _quality(heard: Quality, noise: float | None) -> Quality:
    if noise is None:
        return heard
    return msgspec.structs.replace(heard, noise_probability=round(noise, 4))


def _latency(window: Window, started_at: float, now: float) -> Latency:
    def milliseconds(begin: float, end: float) -> float:
        return round(max(0.0, end - begin) * 1000, 3)

    return Latency(
        capture=milliseconds(window.captured_at, window.arrived_at),
        segment=milliseconds(window.arrived_at, window.cut_at),
        features=milliseconds(window.cut_at, window.ready_at),
        queue=milliseconds(window.ready_at, started_at),
        inference=milliseconds(started_at, now),
        publish=0.0,
        total=milliseconds(window.captured_at, now),
    )
