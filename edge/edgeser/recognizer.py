"""Files and arrays in, recognised segments out: the daemon's own path without the daemon."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

from edgeser.audio.file import FileSource
from edgeser.audio.source import AudioBlock, AudioFault
from edgeser.errors import UserError, one_line
from edgeser.events.schema import EmotionEvent
from edgeser.live import AnySamples, Live, frames_of
from edgeser.model.model import Model
from edgeser.pcm import SAMPLE_RATE
from edgeser.pipeline import Heard, Pipeline, chosen_model
from edgeser.settings.schema import Settings

log = logging.getLogger(__name__)


class Recognizer:
    """Recognises speech segment by segment, exactly as ``edgeser run`` does."""

    def __init__(
        self, model: str | Path | Model | None = None, settings: Settings | None = None
    ) -> None:
        """``model``: a name, a file or a loaded model; default: the one in the settings.

        Raises UserError if the model cannot be loaded or does not suit the settings.
        """
        self._settings = settings or Settings()
        self.model = chosen_model(model, self._settings)

    def file(self, path: str | Path) -> Iterator[EmotionEvent]:
        """The segments of a sound file, one by one.

        Raises UserError if it is no sound file, and after the last segment if it breaks off. What
        is made good, samples that are no numbers, is a warning in the log.
        """
        pipeline = Pipeline("file", self.model, self._settings)
        broken: AudioFault | None = None
        for block in FileSource(Path(path), fast=True).blocks():
            if isinstance(block, AudioBlock):
                yield from _finals(pipeline.push(block))
            elif block.recovered:
                log.warning(one_line(block.message))
            else:
                broken = block
        yield from _finals(pipeline.finish())
        if broken is not None:
            raise UserError(broken.message)

    def samples(self, samples: AnySamples, rate: int = SAMPLE_RATE) -> Iterator[EmotionEvent]:
        """The segments of a recording in memory, one by one.

        ``samples``: int16, or floats with full scale at 1; (n,) or (n, channels), of which the
        mean is heard. ``rate``: frames per second. Raises ValueError and TypeError as ``Live``
        and its ``push`` do.
        """
        live = Live(self.model, self._settings, rate=rate, stream="samples")
        frames, second = frames_of(samples), int(rate)
        for first in range(0, len(frames), second):
            yield from _finals(live.push(frames[first : first + second]))
        yield from _finals(live.finish())


def _finals(events: list[Heard]) -> Iterator[EmotionEvent]:
    for event in events:
        if isinstance(event, EmotionEvent) and event.kind == "final":
            yield event
