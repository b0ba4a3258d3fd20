"""Hears sounds as the daemon does, but not in real time: with confirmation and without."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from edgeser.audio.source import AudioBlock
from edgeser.bench.mix import quietest
from edgeser.decider import Decider
from edgeser.events.schema import EmotionEvent, SpeechEvent
from edgeser.hearing import Hearing, HearingState
from edgeser.losses import Losses
from edgeser.model.model import Model
from edgeser.pcm import SAMPLE_RATE, Samples
from edgeser.settings.schema import Settings
from edgeser.speech.vad import LOWEST_FLOOR_DBFS, level_dbfs
from edgeser.window import Window

_BLOCK_SAMPLES = 320 * 5


@dataclass(frozen=True)
class Heard:
    """Segments with a final, in samples, their windows, and how many sounds were rejected."""

    finals: list[tuple[int, int]]
    windows: list[Window]
    rejected: int
    cpu_s: float


class Ears:
    """Hears sounds as the daemon does, with and without confirmation."""

    def __init__(self, model: Model, settings: Settings) -> None:
        self.model = model
        self._decision = settings.decision
        speech = settings.speech
        self._speech = {on: msgspec.structs.replace(speech, confirm=on) for on in (True, False)}

    def hear(self, sound: Samples, *, confirm: bool, known_s: float = 0.0) -> Heard:
        """int16 (n,), from its first sample to its last.

        ``known_s``: length of its beginning whose noise floor counts as already known: the VAD
        takes ten seconds to learn a loud one.
        """
        known = level_dbfs(quietest(sound[: round(known_s * SAMPLE_RATE)]))
        begin = HearingState(floor_dbfs=max(LOWEST_FLOOR_DBFS, known))
        hearing = Hearing("bench", self.model, self._speech[confirm], Losses(), begin=begin)
        finals, windows, rejected = [], [], 0
        began = time.thread_time()
        outputs = []
        for first in range(0, len(sound), _BLOCK_SAMPLES):
            block = sound[first : first + _BLOCK_SAMPLES]
            outputs += hearing.push(AudioBlock(block, first, 0.0))
        outputs += hearing.finish()
        cpu_s = time.thread_time() - began
        for event in outputs:
            if isinstance(event, Window) and event.kind == "final":
                windows.append(event)
            if isinstance(event, SpeechEvent) and event.end is not None:
                rejected += event.reason == "not_speech"
                if event.has_final:
                    finals.append(
                        (round(event.start * SAMPLE_RATE), round(event.end * SAMPLE_RATE))
                    )
        return Heard(finals, windows, rejected, cpu_s)

    def said(self, windows: Sequence[Window]) -> list[EmotionEvent]:
        """The emotion events of consecutive windows."""
        decider = Decider(self._decision, Losses())
        return [decider.decide(w, self.model.answers([w.speech])[0], w.ready_at) for w in windows]
