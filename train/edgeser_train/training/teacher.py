"""A teacher: trained models that another model is distilled from (Hinton et al. 2015)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from edgeser.errors import UserError
from edgeser.features.front_end import Floats
from edgeser_train.corpora import Corpus
from edgeser_train.data.protocols import Fold
from edgeser_train.models.scoring import utterance_logits, voice_logits
from edgeser_train.models.speech_model import SpeechModel
from edgeser_train.sound.sounds import Sounds
from edgeser_train.training import checkpoint
from edgeser_train.training.checkpoint import Origin
from edgeser_train.training.leaks import leak_free


@dataclass(frozen=True)
class Teacher:
    """One or more checkpoints, or run folders with one checkpoint per fold.

    They may have other front ends and architectures than the student; the labels must be the same.
    A teacher with baselines, or centred by voice, gets those of all that a voice says in the
    training part: a student that knows little of a voice learns to answer like one that knows all.
    """

    paths: tuple[Path, ...]

    @property
    def fingerprint(self) -> str:
        return checkpoint.fingerprint_of(self.paths)

    def files(self, corpus: Corpus, fold: Fold) -> list[Path]:
        """The checkpoints that teach a fold.

        Raises UserError for one that is missing, of other labels, or has seen what the fold holds
        out.
        """
        return [_file(path, corpus, fold) for path in self.paths]

    def logits(self, corpus: Corpus, fold: Fold, sounds: Sounds) -> Floats:
        """Log of the mean probability that the teachers give (utterances, labels).

        Rows of utterances that do not train the fold are zero. Raises UserError as ``files`` does.
        """
        mean: Floats = np.zeros((len(corpus.utterances), len(corpus.labels)), np.float32)
        for file in self.files(corpus, fold):
            mean[list(fold.train)] += _probabilities(file, corpus, fold, sounds)
        mean /= len(self.paths)
        known = list(fold.train)
        mean[known] = np.log(np.maximum(mean[known], 1e-9))
        return mean


def teacher_of(paths: Sequence[Path]) -> Teacher | None:
    """The teacher that command-line paths name, or None without any. Raises UserError."""
    for path in paths:
        if not path.exists():
            raise UserError(f"--teacher {path}: no such checkpoint or run folder")
    return Teacher(tuple(paths)) if paths else None


def _file(path: Path, corpus: Corpus, fold: Fold) -> Path:
    file = leak_free(path, corpus, fold, f"--teacher {path}")
    labels = checkpoint.load_origin(file).labels
    if labels != list(corpus.labels):
        raise UserError(
            f"--teacher {path}: knows {', '.join(labels)}, "
            f"the corpus has {', '.join(corpus.labels)}"
        )
    return file


def _probabilities(file: Path, corpus: Corpus, fold: Fold, sounds: Sounds) -> Floats:
    model, origin = checkpoint.load(file)
    logits = _logits(model, origin, corpus, fold.train, sounds)
    return np.asarray(torch.softmax(torch.from_numpy(logits), dim=1).numpy(), np.float32)


def _logits(
    model: SpeechModel, origin: Origin, corpus: Corpus, part: Sequence[int], sounds: Sounds
) -> Floats:
    """Logits (utterances of the part, labels)."""
    front_end, window = origin.recipe.front_end, origin.recipe.window
    centring = checkpoint.centring_of(model, origin)
    if centring is None and not front_end.learns_voices:
        return utterance_logits(model, (sounds.of(i) for i in part), front_end, window)
    places: dict[str, list[int]] = defaultdict(list)
    for place, i in enumerate(part):
        places[corpus.utterances[i].speaker].append(place)
    logits: Floats = np.zeros((len(part), len(corpus.labels)), np.float32)
    for of_voice in places.values():
        own = (sounds.of(part[place]) for place in of_voice)
        logits[of_voice] = voice_logits(model, own, front_end, window, centring)
    return logits
