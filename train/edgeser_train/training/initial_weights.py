"""What a training starts from: the weights of a model trained before, for training in stages."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from edgeser.errors import UserError
from edgeser_train.corpora import Corpus
from edgeser_train.data.protocols import Fold
from edgeser_train.training import checkpoint
from edgeser_train.training.leaks import leak_free


@dataclass(frozen=True)
class InitialWeights:
    """A checkpoint, or a run folder with one checkpoint per fold."""

    path: Path

    @property
    def fingerprint(self) -> str:
        return checkpoint.fingerprint_of([self.path])

    def file(self, corpus: Corpus, fold: Fold) -> Path:
        """The checkpoint to start the fold's training from.

        Raises UserError for one that is missing, has its labels in another order, or has seen
        what the fold holds out.
        """
        what = f"--initialise {self.path}"
        file = leak_free(self.path, corpus, fold, what)
        theirs, ours = checkpoint.load_origin(file).labels, list(corpus.labels)
        if theirs != ours and sorted(theirs) == sorted(ours):
            raise UserError(
                f"{what}: has the labels in another order, {', '.join(theirs)}",
                f"give --labels {','.join(theirs)}",
            )
        return file


def initial_weights_of(path: Path | None) -> InitialWeights | None:
    """The initial weights that a command-line path names. Raises UserError."""
    if path is not None and not path.exists():
        raise UserError(f"--initialise {path}: no such checkpoint or run folder")
    return None if path is None else InitialWeights(path)
