"""What it is worth to tell `edgeser annotate` whose voice is in each recording.

python benchmarks/known_voices.py --corpus savee=FOLDER [--model moonshine6] [--jobs 2]

Every corpus must be one that the model was not trained on. It is annotated twice, first with every
voice unknown, then with --voices. The label of a recording is that of the likeliest class over its
segments, weighted by their length, among angry, happy, neutral and sad; one without a segment is
wrong. Brackets: 95 %, resampling speakers with all their recordings.
"""

from __future__ import annotations

import csv
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import numpy as np
import pyarrow.parquet

from benchmarks import script
from edgeser.errors import UserError
from edgeser_train.corpora import Corpus, Utterance, load_corpora
from edgeser_train.metrics import Doubles, confusion, ua, uas

FOUR = ["angry", "happy", "neutral", "sad"]
LABELS = "angry,happy,neutral=neutral+calm,sad"
_RESAMPLES = 1000


def main() -> None:
    parser = script.parser_of(__doc__)
    parser.add_argument("--corpus", required=True, action="append", metavar="NAME=PATH")
    parser.add_argument("--model", default="moonshine6")
    parser.add_argument("--jobs", type=script.count, default=1)
    options = parser.parse_args()
    print("| corpus | recordings | without a segment | unknown voice | known voice | gain |")
    print("|---|---|---|---|---|---|")
    for named_path in options.corpus:
        corpus = load_corpora([named_path], LABELS)
        said = [
            annotated(corpus, options.model, options.jobs, voices) for voices in ([], ["speaker"])
        ]
        print(row(corpus, *said), flush=True)


def annotated(corpus: Corpus, model: str, jobs: int, voices: Sequence[str]) -> list[int | None]:
    """The class predicted for each utterance; None where no speech was found in it.

    Raises UserError where ``edgeser annotate`` fails.
    """
    with tempfile.TemporaryDirectory(prefix="edgeser-") as folder:
        recordings, tables = Path(folder) / "list.csv", Path(folder) / "tables"
        with recordings.open("w") as file:
            rows = csv.writer(file)
            rows.writerow(("path", "speaker"))
            rows.writerows((u.path.absolute(), u.speaker) for u in corpus.utterances)
        command = [sys.executable, "-m", "edgeser", "annotate", str(recordings), "-o", str(tables)]
        command += ["--model", model, "--jobs", str(jobs)]
        for column in voices:
            command += ["--voices", column]
        if subprocess.run(command, stdout=subprocess.DEVNULL).returncode:
            raise UserError(f"{corpus.name}: 'edgeser annotate' failed, and says why above")
        segments = pyarrow.parquet.read_table(tables / "segments").to_pylist()
    totals: dict[str, Doubles] = {}
    for segment in segments:
        scores = np.array([segment[f"score_{label}"] for label in FOUR])
        weighted = scores * (segment["end"] - segment["start"])
        totals[segment["path"]] = totals.get(segment["path"], np.zeros(len(FOUR))) + weighted
    return [_likeliest(totals, u) for u in corpus.utterances]


def row(corpus: Corpus, unknown: Sequence[int | None], known: Sequence[int | None]) -> str:
    """The table row: mean recall with unknown and with known voices, and the gain."""
    speakers = sorted({u.speaker for u in corpus.utterances})
    counts = [
        np.stack([_counts(corpus, said, speaker) for speaker in speakers])
        for said in (unknown, known)
    ]
    rng = np.random.default_rng(0)
    drawn = rng.multinomial(
        len(speakers), np.full(len(speakers), 1 / len(speakers)), _RESAMPLES
    ).astype(np.float64)
    figures = [(ua(of.sum(axis=0)), uas(np.tensordot(drawn, of, 1))) for of in counts]
    (before, draws_before), (after, draws_after) = figures
    cells = [
        _cell(before, draws_before),
        _cell(after, draws_after),
        _cell(after - before, draws_after - draws_before),
    ]
    missed = sum(label is None for label in known)
    return f"| {corpus.name} | {len(corpus.utterances)} | {missed} | {' | '.join(cells)} |"


def _likeliest(totals: dict[str, Doubles], utterance: Utterance) -> int | None:
    scores = totals.get(str(utterance.path.absolute()))
    return None if scores is None else int(scores.argmax())


def _counts(corpus: Corpus, said: Sequence[int | None], speaker: str) -> Doubles:
    """Confusion matrix of a speaker's utterances, with a last class for no prediction."""
    own = [
        (FOUR.index(u.label), len(FOUR) if label is None else label)
        for u, label in zip(corpus.utterances, said, strict=True)
        if u.speaker == speaker
    ]
    targets, labels = np.array(own).T
    return confusion(targets, labels, len(FOUR) + 1).astype(np.float64)


def _cell(value: float, draws: Doubles) -> str:
    low, high = np.quantile(draws, (0.025, 0.975))
    return f"{100 * value:.1f} ({100 * low:.1f} to {100 * high:.1f})"


if __name__ == "__main__":
    script.run(main)
