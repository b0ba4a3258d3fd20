"""How much scores depend on where the sound lies on the grid of frames.

python benchmarks/frame_phase.py RUN --corpus emodb=FOLDER [--delay 80]

RUN is a folder of `edgeser evaluate --protocol loso`, of one seed. Every utterance is scored twice
by the model that never heard its speaker: as it is, and delayed by half a hop, which is inaudible.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import numpy as np

from benchmarks import script
from edgeser.model.decision import softmax
from edgeser_export.scored_folds import scored_folds
from edgeser_train.corpora import load_corpus
from edgeser_train.models.scoring import utterance_logits


def main() -> None:
    parser = script.parser_of(__doc__)
    parser.add_argument("run", type=Path, help="folder of `edgeser evaluate`")
    parser.add_argument("--corpus", required=True, metavar="NAME=PATH")
    parser.add_argument("--delay", type=int, default=80, help="samples (default: 80, 5 ms)")
    options = parser.parse_args()
    if options.delay < 1:
        parser.error(f"--delay: expected at least 1, got {options.delay}")
    compare(options.run, options.corpus, options.delay)


def compare(run: Path, corpus_name: str, delay: int) -> None:
    before, after, targets = [], [], []
    for fold in scored_folds(run, load_corpus(corpus_name)):
        sounds = [utterance.samples() for utterance in fold.utterances]
        delayed = [np.concatenate((np.zeros(delay, np.int16), sound)) for sound in sounds]
        recipe = fold.origin.recipe
        before.append(utterance_logits(fold.model, sounds, recipe.front_end, recipe.window))
        after.append(utterance_logits(fold.model, delayed, recipe.front_end, recipe.window))
        targets += fold.result.targets
    first, second = np.concatenate(before), np.concatenate(after)
    changed = first.argmax(axis=1) != second.argmax(axis=1)
    moved = np.abs(softmax(first) - softmax(second)).max(axis=1)
    right = [100 * (logits.argmax(axis=1) == targets).mean() for logits in (first, second)]
    print(f"{len(targets)} utterances delayed by {delay} samples")
    print(
        f"WA {right[0]:.1f} % before, {right[1]:.1f} % after; {100 * changed.mean():.1f} % changed"
    )
    print(
        f"largest move of a score: median {np.median(moved):.3f}, "
        f"p90 {np.percentile(moved, 90):.3f}, max {moved.max():.3f}"
    )


if __name__ == "__main__":
    script.run(main)
