"""Windows that ranges of integers may be measured on: those that trained the model."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np

from edgeser.errors import UserError
from edgeser.features.front_end import Floats
from edgeser_train.corpora import Corpus, load_corpora
from edgeser_train.recipe import Recipe
from edgeser_train.scoring import utterance_pieces

UTTERANCES = 64


def training_pieces(
    named_paths: Sequence[str], trained_on: Collection[str], recipe: Recipe, min_frames: int
) -> list[Floats]:
    """Pieces of up to 64 utterances of corpora NAME=PATH, each one the checkpoint was trained on.

    Raises UserError when there is none.
    """
    corpus = load_corpora(named_paths)
    seen = set(trained_on)
    part = [i for i, u in enumerate(corpus.utterances) if u.name in seen]
    if not part:
        raise UserError(
            f"--calibrate {' '.join(named_paths)}: the checkpoint was trained on none of it"
        )
    return pieces_of_part(corpus, part, recipe, min_frames)


def pieces_of_part(
    corpus: Corpus, part: Sequence[int], recipe: Recipe, min_frames: int
) -> list[Floats]:
    """Pieces of up to 64 utterances out of ``part``, spread evenly over labels and speakers."""
    order = sorted(part, key=lambda i: (corpus.utterances[i].label, corpus.utterances[i].speaker))
    chosen = np.linspace(0, len(order) - 1, min(UTTERANCES, len(order))).round().astype(int)
    return [
        piece
        for place in chosen
        for piece in utterance_pieces(
            corpus.utterances[order[place]].samples(), recipe.front_end, recipe.window, min_frames
        )
    ]
