"""Files and arrays in, recognised segments out: the daemon's own path without the daemon."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt

from edgeser.audio.file import FileSource
from edgeser.audio.source import AudioBlock, AudioFault
from edgeser.decider import Decider
from edgeser.errors import UserError
from edgeser.events.schema import EmotionEvent
from edgeser.hearing import Hearing, HearingOutput
from edgeser.losses import Losses
from edgeser.model.model import Model, load_model
from edgeser.pcm import SAMPLE_RATE
from edgeser.settings.schema import Settings
from edgeser.window import Window


class Recognizer:
    """Recognises speech segment by segment, exactly as ``edgeser run`` does."""

    def __init__(self, model: str | Model | None = None, settings: Settings | None = None) -> None:
        """``model``: a name, a file or a loaded model; default: the one in the settings.

        Raises UserError if the model cannot be loaded or does not suit the settings.
        """
        self._settings = settings or Settings()
        if model is None:
            model = self._settings.model.name
        if isinstance(model, str):
            chosen = self._settings.model
            model = load_model(model, chosen.backend, labels=chosen.labels)
        self.model = model

    def file(self, path: str | Path) -> Iterator[EmotionEvent]:
        """The segments of a sound file, one by one.

        Raises UserError if it is no sound file, and after the last segment if it breaks off.
        """
        return self._segments(FileSource(Path(path), fast=True).blocks(), "file")

    def samples(self, samples: npt.NDArray[np.int16]) -> Iterator[EmotionEvent]:
        """The segments of 16 kHz mono samples, int16 (n,), one by one."""
        if samples.dtype != np.int16 or samples.ndim != 1:
            raise ValueError(f"expected int16 (n,), got {samples.dtype} {samples.shape}")
        whole = AudioBlock(samples, 0, len(samples) / SAMPLE_RATE)
        return self._segments(iter([whole]), "samples")

    def _segments(
        self, blocks: Iterator[AudioBlock | AudioFault], name: str
    ) -> Iterator[EmotionEvent]:
        settings = self._settings
        losses = Losses()
        hearing = Hearing(name, self.model, settings.speech, losses)
        decider = Decider(settings.decision, losses)
        broken: AudioFault | None = None
        for block in blocks:
            if isinstance(block, AudioBlock):
                yield from self._finals(decider, hearing.push(block))
            elif not block.recovered:
                broken = block
        yield from self._finals(decider, hearing.finish())
        if broken is not None:
            raise UserError(broken.message)

    def _finals(self, decider: Decider, outputs: list[HearingOutput]) -> Iterator[EmotionEvent]:
        for window in outputs:
            if isinstance(window, Window):
                scores = self.model.scores([window.pieces])[0]
                event = decider.decide(window, scores, window.ready_at)
                if event.kind == "final":
                    yield event
