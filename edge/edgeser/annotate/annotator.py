"""A shard of recordings in, its two tables out: what every worker process runs."""

from __future__ import annotations

import socket
import time
from collections import defaultdict
from pathlib import Path
from typing import NamedTuple

import pyarrow

from edgeser.annotate.archive import check_archive
from edgeser.annotate.plan import Plan, Shard
from edgeser.audio.file import FileSource
from edgeser.errors import UserError
from edgeser.events.columns import emotion_columns
from edgeser.events.schema import EmotionEvent
from edgeser.paths import as_utf8
from edgeser.recognizer import Recognizer
from edgeser.settings.schema import Settings
from edgeser.voice import Voice

ERRORS = pyarrow.schema([("path", pyarrow.string()), ("error", pyarrow.string())])


class Annotated(NamedTuple):
    """The rows of a shard, its seconds of sound, and the core seconds that it took."""

    segments: pyarrow.Table
    errors: pyarrow.Table
    sound_s: float
    core_s: float


class Annotator:
    """Recognises recordings one after the other, as the daemon would. One model; one core."""

    def __init__(self, settings: Settings) -> None:
        """Load the model. Raises UserError where that fails."""
        self._recognizer = Recognizer(settings=settings)
        self.schema = schema(self._recognizer.model.info.labels)

    def check(self, plan: Plan) -> None:
        """Raises UserError, naming this machine, unless its model is the one of the plan."""
        model = self._recognizer.model
        ours, theirs = model.ref.sha256, plan.model.sha256
        if (ours, model.backend.name) != (theirs, plan.backend):
            raise UserError(
                f"{socket.gethostname()}: its model is {ours[:12]} by {model.backend.name}, "
                f"that of the tables {theirs[:12]} by {plan.backend}",
                "give every node the same model and backend",
            )

    def __call__(self, shard: Shard) -> Annotated:
        """The segments of each file, in the order of the files; of a broken file, those before the
        break.

        A file that cannot be read is a row of ``errors``. Raises ArchiveError if the archive is
        not reachable.
        """
        began = time.process_time()
        segments: list[dict[str, object]] = []
        errors: list[dict[str, str]] = []
        sound_s = 0.0
        voice_names = shard.voices or {}
        voices = self._voices(shard)
        for path in shard.paths:
            shown = as_utf8(path)
            file = Path(shard.root) / path
            try:
                sound_s += FileSource(file, fast=True).duration_s
                heard = self._recognizer.file(file, voices.get(path))
                segments.extend(_row(shown, voice_names.get(path), event) for event in heard)
            except UserError as error:
                check_archive(shard)
                errors.append({"path": shown, "error": str(error).replace(str(file), shown)})
        return Annotated(
            pyarrow.Table.from_pylist(segments, self.schema),
            pyarrow.Table.from_pylist(errors, ERRORS),
            sound_s,
            time.process_time() - began,
        )

    def _voices(self, shard: Shard) -> dict[str, Voice]:
        """For each path its voice as learned from that voice's other recordings, if there are any.

        Raises ArchiveError if the archive is not reachable.
        """
        root = Path(shard.root)
        by_voice: dict[str, list[str]] = defaultdict(list)
        for path, voice in (shard.voices or {}).items():
            by_voice[voice].append(path)
        learnt: dict[str, Voice] = {}
        for paths in filter(lambda paths: len(paths) > 1, by_voice.values()):
            files = [root / path for path in paths]
            voices = self._recognizer.learn(files, lambda _: check_archive(shard))
            learnt.update(zip(paths, voices, strict=True))
        return learnt


def schema(labels: list[str]) -> pyarrow.Schema:
    """The columns of ``segments``: times in seconds of the file, levels in dB below full scale."""
    double, boolean, text = pyarrow.float64(), pyarrow.bool_(), pyarrow.string()
    return pyarrow.schema(
        [
            ("path", text),
            ("voice", text),
            ("segment", pyarrow.int32()),
            ("start", double),
            ("end", double),
            ("label", text),
            ("confidence", double),
            *((f"score_{label}", double) for label in labels),
            ("valence", double),
            ("arousal", double),
            ("continued", boolean),
            ("speech_ratio", double),
            ("level_dbfs", double),
            ("clipped_ratio", double),
            ("snr_db", double),
            ("speech_probability", double),
            ("noise_probability", double),
            ("baseline_s", double),
            ("model_sha256", pyarrow.dictionary(pyarrow.int32(), text)),
        ]
    )


def _row(path: str, voice: str | None, event: EmotionEvent) -> dict[str, object]:
    scores = {f"score_{label}": score for label, score in event.scores.items()}
    shown = None if voice is None else as_utf8(voice)
    own = {"path": path, "voice": shown, "baseline_s": event.baseline_s}
    return {**own, **scores, **emotion_columns(event)}
