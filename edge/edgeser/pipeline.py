"""One stream from its blocks to its events in one thread: what a daemon does in several."""

from __future__ import annotations

from pathlib import Path
from typing import TypeAlias

from msgspec.structs import replace

from edgeser.audio.source import AudioBlock
from edgeser.decider import Decider
from edgeser.errors import UserError
from edgeser.events.schema import EmotionEvent, SpeechEvent
from edgeser.hearing import Hearing, HearingOutput, HearingState
from edgeser.losses import Losses
from edgeser.model.model import Model, load_model
from edgeser.settings.schema import Settings
from edgeser.voice import Voice
from edgeser.window import Window

Heard: TypeAlias = SpeechEvent | EmotionEvent


class Pipeline:
    """Blocks in, events out, in the order of the sound; nothing is dropped. For one thread."""

    def __init__(
        self, name: str, model: Model, settings: Settings, voice: Voice | None = None
    ) -> None:
        """``name``: the stream's. ``voice``: what is known of the voice before the first sound.

        Raises UserError if the settings do not suit the model, ValueError for a voice that another
        model has learnt, TypeError for anything but a ``Voice``.
        """
        if voice is not None:
            if not isinstance(voice, Voice):
                raise TypeError(f"expected a Voice, got {type(voice).__name__}")
            voice.check(model)
        losses = Losses()
        learn = settings.baseline.learn
        begin = None if voice is None else HearingState(baseline=voice.spectrum)
        self._hearing = Hearing(name, model, settings.speech, losses, begin=begin, learn=learn)
        self._decider = Decider(settings.decision, losses, learn=learn)
        self._usual_before = None if voice is None else voice.usual
        if self._usual_before is not None:
            self._decider.adopt(self._usual_before)

    @property
    def position(self) -> int:
        """Samples heard so far."""
        return self._hearing.position

    @property
    def voice(self) -> Voice:
        """What is known of the voice so far."""
        sha256 = self._hearing.model.ref.sha256
        usual = self._decider.logit_baseline(sha256) or self._usual_before
        return Voice(sha256, self._hearing.baseline, None if usual is None else usual.logits)

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


def learner(model: Model) -> Model:
    """The same model. Raises UserError if it learns no voices."""
    if not model.info.learns_voices:
        raise UserError(
            f"model '{model.info.name}' judges every sentence by itself and learns no voices",
            "choose one that does, such as moonshine6; 'edgeser models NAME' describes each",
        )
    return model


def learning(settings: Settings) -> Settings:
    """The same settings, with learning of voices turned on."""
    return replace(settings, baseline=replace(settings.baseline, learn=True))
