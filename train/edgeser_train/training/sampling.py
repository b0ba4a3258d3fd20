"""Which utterances an epoch consists of."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from edgeser_train.corpora import Corpus

Indices = npt.NDArray[np.int64]


def balanced_sample(
    corpus: Corpus, part: Sequence[int], examples: int, rng: np.random.Generator
) -> Indices:
    """Indices (examples,) of utterances of a part, drawn with replacement.

    Every corpus is as likely as the others, in it every class, and of that every speaker: neither
    the largest corpus nor the most talkative speaker counts for more.
    """
    tree: dict[str, dict[str, dict[str, list[int]]]] = {}
    for i in part:
        u = corpus.utterances[i]
        speakers = tree.setdefault(u.corpus, {}).setdefault(u.label, {})
        speakers.setdefault(u.speaker, []).append(i)
    leaves = [
        [list(speakers.values()) for speakers in classes.values()] for classes in tree.values()
    ]
    drawn = np.zeros(examples, np.int64)
    for place, (first, second, third, fourth) in enumerate(rng.random((examples, 4))):
        classes = leaves[int(first * len(leaves))]
        voices = classes[int(second * len(classes))]
        utterances = voices[int(third * len(voices))]
        drawn[place] = utterances[int(fourth * len(utterances))]
    return drawn
