"""Files and arrays in, recognised segments out: the daemon's own path without the daemon."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from msgspec import structs

from edgeser.audio.file import FileSource
from edgeser.audio.source import AudioBlock, AudioFault
from edgeser.errors import UserError, one_line
from edgeser.events.schema import EmotionEvent
from edgeser.features.baseline import Baseline, no_baseline, of_others
from edgeser.hearing import Hearing
from edgeser.live import AnySamples, Live, frames_of
from edgeser.losses import Losses
from edgeser.model.model import Model
from edgeser.pcm import SAMPLE_RATE
from edgeser.pipeline import Heard, Pipeline, chosen_model, learner, learning
from edgeser.settings.schema import Settings
from edgeser.voice import Voice

_NO_PARTIALS_S = 60.0
"""Longer than any segment."""

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

    def file(self, path: str | Path, voice: Voice | None = None) -> Iterator[EmotionEvent]:
        """The segments of a sound file, one by one.

        ``voice``: what is already known of it, from ``learn`` or a ``Live`` with the same model.

        Raises UserError if it is no sound file, and after the last segment if it breaks off;
        ValueError for a voice that another model has learnt. Samples that are no numbers are
        replaced, with a warning in the log.
        """
        pipeline = Pipeline("file", self.model, self._settings, voice)
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

    def learn(
        self, paths: Sequence[str | Path], unread: Callable[[UserError], None] = lambda _: None
    ) -> list[Voice]:
        """Hear recordings of one voice; return for each the voice as learned from all the others.

        Results judged with these do not depend on the order of ``paths``. Copies, of the same
        samples, are one recording: they tell nothing of each other. Of a recording with more
        speech than the model remembers, the end counts most. One that cannot be read is left out;
        ``unread`` is called with the reason. Takes about as long as recognising them.

        Raises UserError for a model that learns no voices, TypeError for a single path and for an
        iterator, which could not be gone through twice.
        """
        if isinstance(paths, str) or not isinstance(paths, Sequence):
            raise TypeError(f"expected a list of paths, got {type(paths).__name__}")
        info = learner(self.model).info
        originals: dict[bytes, tuple[str | Path, Baseline]] = {}
        sounds = []
        for path in paths:
            digest = hashlib.sha256()
            spectrum = self._spectrum_of(_hashed(_blocks(path, unread), digest))
            sounds.append(digest.digest())
            originals.setdefault(digest.digest(), (path, spectrum))
        own_spectra = [spectrum for _, spectrum in originals.values()]
        spectra = of_others(own_spectra, info.front_end.baseline_frames)
        voices = [Voice(self.model.ref.sha256, spectrum) for spectrum in spectra]
        if info.centring is not None:
            own_logits = [
                self._logits_of(_blocks(path, unread), voice)
                for (path, _), voice in zip(originals.values(), voices, strict=True)
            ]
            usual = of_others(own_logits, info.centring.most_frames)
            voices = [replace(v, logits=logits) for v, logits in zip(voices, usual, strict=True)]
        by_sound = dict(zip(originals, voices, strict=True))
        return [by_sound[sound] for sound in sounds]

    def samples(
        self, samples: AnySamples, rate: int = SAMPLE_RATE, voice: Voice | None = None
    ) -> Iterator[EmotionEvent]:
        """The segments of a recording in memory, one by one.

        ``samples``: int16, or floats with full scale at 1; (n,) or (n, channels), of which the
        mean is heard. ``rate``: frames per second. ``voice``: as for ``file``. Raises ValueError
        and TypeError as ``Live`` and its ``push`` do.
        """
        live = Live(self.model, self._settings, rate=rate, stream="samples", voice=voice)
        frames, second = frames_of(samples), int(rate)
        for first in range(0, len(frames), second):
            yield from _finals(live.push(frames[first : first + second]))
        yield from _finals(live.finish())

    def _spectrum_of(self, blocks: Iterator[AudioBlock]) -> Baseline:
        """The mean spectrum of the voice in one recording."""
        settings = _to_learn(self._settings)
        hearing = Hearing("file", self.model, settings.speech, Losses())
        for block in blocks:
            hearing.push(block)
        hearing.finish()
        return hearing.baseline

    def _logits_of(self, blocks: Iterator[AudioBlock], voice: Voice) -> Baseline:
        """The model's mean logits for one recording, judged with this voice."""
        pipeline = Pipeline("file", self.model, _to_learn(self._settings), voice)
        for block in blocks:
            pipeline.push(block)
        pipeline.finish()
        return pipeline.voice.logits or no_baseline(len(self.model.info.labels))


def _to_learn(settings: Settings) -> Settings:
    """The same with learning and without partials, which teach nothing and take time."""
    speech = structs.replace(settings.speech, hop_seconds=_NO_PARTIALS_S)
    return structs.replace(learning(settings), speech=speech)


def _blocks(path: str | Path, unread: Callable[[UserError], None]) -> Iterator[AudioBlock]:
    """The sound of a file as far as it can be read."""
    try:
        for block in FileSource(Path(path), fast=True).blocks():
            if isinstance(block, AudioBlock):
                yield block
    except UserError as error:
        unread(error)


def _hashed(blocks: Iterator[AudioBlock], digest: hashlib._Hash) -> Iterator[AudioBlock]:
    """The blocks; ``digest`` takes their samples."""
    for block in blocks:
        digest.update(block.samples.tobytes())
        yield block


def _finals(events: list[Heard]) -> Iterator[EmotionEvent]:
    for event in events:
        if isinstance(event, EmotionEvent) and event.kind == "final":
            yield event
