"""One stream from its blocks to its events in one thread: what a daemon does in several."""

from __future__ import annotations

from pathlib import Path
from typing import TypeAlias

from edgeser.audio.source import AudioBlock
from edgeser.decider import Decider
from edgeser.events.schema import EmotionEvent, SpeechEvent
from edgeser.features.baseline import Baseline
from edgeser.hearing import Hearing, HearingOutput
from edgeser.losses import Losses
from edgeser.model.centring import LogitBaseline
from edgeser.model.model import Model, load_model
from edgeser.settings.schema import Settings
from edgeser.window import Window

Heard: TypeAlias = SpeechEvent | EmotionEvent


class Pipeline:
    """Blocks in, events out, in the order of the sound; nothing is dropped. For one thread."""

    def __init__(self, name: str, model: Model, settings: Settings) -> None:
        """``name``: the stream's. Raises UserError if the settings do not suit the model."""
        losses = Losses()
        learn = settings.baseline.learn
        self._hearing = Hearing(name, model, settings.speech, losses, learn=learn)
        self._decider = Decider(settings.decision, losses, learn=learn)

    @property
    def position(self) -> int:
        """Samples heard so far."""
        return self._hearing.position

    @property
    def baseline(self) -> Baseline:
        """The voice's mean spectrum so far."""
        return self._hearing.baseline

    @property
    def logit_baseline(self) -> LogitBaseline | None:
        """The model's mean logits for the voice so far; None before the first final."""
        return self._decider.logit_baseline(self._hearing.model.ref.sha256)

    def push(self, block: AudioBlock) -> list[Heard]:
        """The events of the next block."""
        return [self._event(output) for output in self._hearing.push(block)]

    def finish(self) -> list[Heard]:
        """The sound ends here: the events of the open segment's end."""
        return [self._event(output) for output in self._hearing.finish()]

    def _event(self, output: HearingOutput) -> Heard:
        if not isinstance(output, Window):
            return output
        answer = output.model.answers([output.speech])[0]
        return self._decider.decide(output, answer, output.ready_at)


def chosen_model(model: str | Path | Model | None, settings: Settings) -> Model:
    """``model``: a name, a file, a loaded one, or None for that of the settings.

    Raises UserError if it cannot be loaded, TypeError for what is neither.
    """
    if not isinstance(settings, Settings):
        raise TypeError(f"expected Settings, got {type(settings).__name__}")
    chosen = settings.model
    name = chosen.name if model is None else model
    if isinstance(name, Model):
        return name
    if not isinstance(name, str | Path):
        raise TypeError(f"expected a model, its name or its file, got {type(name).__name__}")
    return load_model(name, chosen.backend, labels=chosen.labels)
