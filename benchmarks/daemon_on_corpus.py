"""What segmentation costs: every file of a corpus through the real daemon, fold by fold.

python benchmarks/daemon_on_corpus.py RUN --corpus emodb=FOLDER [-o FOLDER] [--jobs 2]

RUN is a folder of `edgeser evaluate --protocol loso`, of one seed. Each file is played by `edgeser
run --fast --once` with the model of the fold that never heard its speaker, and the label is that of
the likeliest class over its final events, weighted by their length. Writes daemon.json and
daemon.md.
"""

from __future__ import annotations

import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import msgspec
import numpy as np

from benchmarks import script
from edgeser import Subscriber
from edgeser.bench import process
from edgeser.events.schema import EmotionEvent, StatusEvent
from edgeser_export.onnx_export import Release, export
from edgeser_export.record import record_of
from edgeser_export.scored_folds import scored_folds
from edgeser_train.corpora import load_corpus
from edgeser_train.files import write_whole
from edgeser_train.metrics import confusion


class Outcome(msgspec.Struct):
    """One file: its label, that of the daemon, and that of the model for the whole utterance."""

    name: str
    speaker: str
    label: str
    finals: int
    daemon: str | None
    whole: str


def main() -> None:
    parser = script.parser_of(__doc__)
    parser.add_argument("run", type=Path, help="folder of `edgeser evaluate`")
    parser.add_argument("--corpus", required=True, metavar="NAME=PATH")
    parser.add_argument("-o", "--output", type=Path, help="folder of the report (default: RUN)")
    parser.add_argument("--jobs", type=int, default=2)
    options = parser.parse_args()
    outcomes = examine(options.run, options.corpus, options.jobs)
    write(outcomes, options.output or options.run)


def examine(run: Path, corpus_name: str, jobs: int) -> list[Outcome]:
    corpus = load_corpus(corpus_name)
    outcomes: list[Outcome] = []
    with tempfile.TemporaryDirectory(prefix="edgeser-") as folder, ThreadPoolExecutor(jobs) as pool:
        for fold in scored_folds(run, corpus):
            result = fold.result
            artefact = Path(folder) / f"{result.fold}.onnx"
            record = record_of(fold.origin, None)
            release = Release(f"fold-{result.fold}", "0", record)
            export(fold.model, fold.origin, artefact, release)
            # artefact=artefact binds this fold's artefact to the lambda
            played = pool.map(
                lambda utterance, artefact=artefact: play(utterance.path, artefact), fold.utterances
            )
            for i, finals in enumerate(played):
                logits = result.logits[0][i]
                outcomes.append(
                    Outcome(
                        name=result.utterances[i],
                        speaker=result.speakers[i],
                        label=corpus.labels[result.targets[i]],
                        finals=len(finals),
                        daemon=likeliest(finals),
                        whole=corpus.labels[logits.index(max(logits))],
                    )
                )
            print(f"fold {result.fold}: {len(result.utterances)} files", file=sys.stderr)
    return outcomes


def play(file: Path, artefact: Path) -> list[EmotionEvent]:
    """The finals that a daemon publishes about a file. Raises UserError if it fails."""
    arguments = ["--fast", "--once", "--await-subscriber"]
    arguments += ["--source", str(file), "--model", str(artefact)]
    finals: list[EmotionEvent] = []
    with process.daemon(arguments) as daemon, Subscriber(daemon.endpoint, timeout_s=1.0) as events:
        while True:
            try:
                event = next(events)
            except TimeoutError:
                if daemon.has_ended:
                    raise daemon.death() from None
                continue
            if isinstance(event, EmotionEvent) and event.kind == "final":
                finals.append(event)
            elif isinstance(event, StatusEvent) and event.state == "stopping":
                break
        daemon.process.wait(60)
        daemon.check()
    return finals


def likeliest(finals: list[EmotionEvent]) -> str | None:
    """The label with the highest score over all finals, each weighted by its length."""
    totals: dict[str, float] = {}
    for event in finals:
        for label, score in event.scores.items():
            totals[label] = totals.get(label, 0.0) + score * (event.end - event.start)
    return max(totals, key=totals.__getitem__) if totals else None


def write(outcomes: list[Outcome], folder: Path) -> None:
    labels = sorted({o.label for o in outcomes})
    targets = np.array([labels.index(o.label) for o in outcomes])
    silent = [o.name for o in outcomes if o.finals == 0]
    heard = [o for o in outcomes if o.daemon is not None]
    rows = []
    for title, said in (
        ("whole utterance at once", [o.whole for o in outcomes]),
        ("through `edgeser run --fast --once`", [o.daemon or "" for o in outcomes]),
    ):
        right = np.array([a == o.label for a, o in zip(said, outcomes, strict=True)])
        predictions = np.array([labels.index(a) if a in labels else len(labels) for a in said])
        counts = confusion(targets, predictions, len(labels) + 1)[: len(labels), :]
        per_class = [counts[k, k] / counts[k].sum() for k in range(len(labels))]
        rows.append(f"| {title} | {100 * right.mean():.1f} | {100 * np.mean(per_class):.1f} |")
    changed = sum(o.daemon != o.whole for o in heard)
    pieces = sum(o.finals > 1 for o in outcomes)
    text = [
        "# The daemon on every file of the corpus",
        "",
        f"{len(outcomes)} files, each with the model of the fold that never heard its speaker. "
        "A daemon process a file; its finals are weighted by their length.",
        "",
        "| | WA % | UA % |",
        "|---|---|---|",
        *rows,
        "",
        f"* Files without a final event: {len(silent)}{': ' + ', '.join(silent) if silent else ''}",
        f"* Files with more than one final, because the speaker paused: {pieces}",
        f"* Files whose label the segmentation changed: {changed}",
        "",
        "Made by `python benchmarks/daemon_on_corpus.py RUN --corpus emodb=PATH`.",
    ]
    write_whole(folder / "daemon.md", ("\n".join(text) + "\n").encode())
    write_whole(folder / "daemon.json", msgspec.json.format(msgspec.json.encode(outcomes)))
    print("\n".join(text))


if __name__ == "__main__":
    script.run(main)
