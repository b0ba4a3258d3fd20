"""The data that an export may look at: only what the model was trained on."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edgeser.errors import UserError
from edgeser.features.front_end import Floats
from edgeser_train.corpora import Utterance, load_corpus
from edgeser_train.models.scoring import utterance_pieces
from edgeser_train.training.checkpoint import Origin
from edgeser_train.training.recipe import Recipe

UTTERANCES = 64


def training_pieces(named_paths: Sequence[str], origin: Origin, min_frames: int) -> list[Floats]:
    """Pieces of up to 64 utterances of corpora NAME=PATH, each one the checkpoint was trained on.

    Raises UserError for a corpus that it was not trained on.
    """
    utterances = [u for named_path in named_paths for u in trained_on(origin, named_path)]
    return pieces_of_some(utterances, origin.recipe, min_frames)


def trained_on(origin: Origin, named_path: str) -> list[Utterance]:
    """The utterances of a corpus NAME=PATH that a checkpoint was trained on, by corpus and name.
    Raises UserError if there are none.
    """
    corpus = load_corpus(named_path)
    part = []
    if corpus.name in origin.corpora:
        known = set(origin.trained_on)
        merged = f"{corpus.recordings or corpus.name}:"  # prefix of names in a merged corpus
        part = [u for u in corpus.utterances if not known.isdisjoint((u.name, merged + u.name))]
    if not part:
        raise UserError(
            f"--calibrate {named_path}: the checkpoint was trained on "
            f"{', '.join(origin.corpora)}, and on no utterance of this corpus {corpus.name}"
        )
    return part


def pieces_of_some(
    utterances: Sequence[Utterance], recipe: Recipe, min_frames: int
) -> list[Floats]:
    """Pieces of up to 64 of these utterances, spread evenly over labels and speakers."""
    order = sorted(utterances, key=lambda u: (u.label, u.corpus, u.speaker))
    chosen = np.linspace(0, len(order) - 1, min(UTTERANCES, len(order))).round().astype(int)
    return [
        piece
        for place in chosen
        for piece in utterance_pieces(
            order[place].samples(), recipe.front_end, recipe.window, min_frames
        )
    ]
