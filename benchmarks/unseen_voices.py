"""How a model fares with voices it never met, and what a baseline of the voice is worth.

python benchmarks/unseen_voices.py voices --corpus savee=FOLDER --corpus ravdess=FOLDER -o FOLDER
python benchmarks/unseen_voices.py runs/loco --corpus emodb7=FOLDER --corpus mesd=FOLDER -o FOLDER

The first is a model as `edgeser run --model` takes it, on corpora that it must not have learnt
from; the second what `edgeser evaluate --protocol loco -o runs/loco` left, each of its folds on the
corpus that it held out, its seeds put together as `edgeser export` does it. How far the
predictions are to be believed is then fitted on those of the other folds, and on all of them for
OUTPUT's strangers.json, which `edgeser export --strangers` takes. Or what another protocol left
that holds out speakers of one corpus, `loso` or `speaker_kfold`: each fold on its own, all of them
pooled, with the temperature that they were trained with.
"""

from __future__ import annotations

import hashlib
import shlex
import sys
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).parents[1]))

import click
import msgspec
import numpy as np
import torch

from benchmarks import script
from edgeser.errors import UserError
from edgeser.features.front_end import Floats
from edgeser.features.pieces import Pieces, batch_of
from edgeser.model.artefact import model_path
from edgeser.model.model import Model, load_model
from edgeser.model.unseen import unseen_file
from edgeser_train.corpora import Corpus, load_corpora
from edgeser_train.corpora.releases import recordings_of
from edgeser_train.evaluation.enrolment import EARLIER, ENROLMENTS, NOTHING, Enrolment
from edgeser_train.evaluation.folds import FoldResult, kept_folds
from edgeser_train.evaluation.unknown_voice_calibration import fit
from edgeser_train.evaluation.unseen import (
    CorpusEvaluator,
    Predictions,
    Score,
    pooled,
)
from edgeser_train.evaluation.unseen_report import (
    EnrolmentRow,
    document,
    enrolment_row,
    gained,
    markdown,
    record,
)
from edgeser_train.files import check_writable, write_whole
from edgeser_train.models.speech_model import SpeechModel
from edgeser_train.training import checkpoint

LABELS = "angry,disgusted,fearful,happy,neutral=neutral+calm,sad"


@click.command()
@click.argument("model", metavar="MODEL|RUN")
@click.option("--corpus", "corpora", required=True, multiple=True, metavar="NAME=PATH")
@click.option("--labels", default=LABELS, show_default=True, help="As edgeser evaluate.")
@click.option("--orders", default=2, show_default=True, type=click.IntRange(min=1))
@click.option("--beside", help="Another model; by how much the first one is better, paired.")
@click.option(
    "--card",
    is_flag=True,
    help="Write the figures beside the model's file, too, where `edgeser models` finds them.",
)
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path), help="A folder.")
def main(
    model: str,
    corpora: tuple[str, ...],
    labels: str,
    orders: int,
    beside: str | None,
    card: bool,
    output: Path,
) -> None:
    """Write OUTPUT/unseen.md and .json; of a run strangers.json, too."""
    torch.set_num_threads(1)
    words = ["python", "benchmarks/unseen_voices.py", *script.without_folders(sys.argv[1:])]
    try:
        if card and Path(model).is_dir():
            raise UserError("--card: a run has no artefact", "export it, and score that")
        if card:
            check_writable(unseen_file(model_path(model)))
        loaded = [load_corpora([corpus], labels) for corpus in corpora]
        given = _given(model, loaded, orders, output)
        other = None if beside is None else _given(beside, loaded, orders, output / "beside")
        gains = [
            gained(row.enrolment.name, row.predictions, before.predictions)
            for row, before in zip(given, other or [], strict=False)
        ]
    except UserError as error:
        raise click.ClickException(str(error)) from error
    report = document(
        [row.metrics for row in given],
        model=Path(model).name,
        command=shlex.join(words),
        orders=orders,
        beside=Path(beside or "").name,
        gains=gains,
    )
    write_whole(output / "unseen.json", _as_json(report))
    write_whole(output / "unseen.md", markdown(report).encode())
    click.echo(markdown(report))
    if card:
        path = model_path(model)
        sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
        write_whole(unseen_file(path), _as_json(record(report, sha256)))


class Row(NamedTuple):
    """With so much known of every voice: predictions, by corpus and order, and their metrics."""

    enrolment: Enrolment
    predictions: list[list[Predictions]]
    metrics: EnrolmentRow


def _given(model: str, corpora: Sequence[Corpus], orders: int, output: Path) -> list[Row]:
    """What a model or a run says. Raises UserError."""
    if Path(model).is_dir():
        return _of_run(Path(model), corpora, orders, output)
    return _of_model(load_model(model, "onnxruntime"), corpora, orders)


def _of_model(model: Model, corpora: Sequence[Corpus], orders: int) -> list[Row]:
    info = model.info
    for corpus in corpora:
        if recordings_of(corpus.name) in {recordings_of(c) for c in info.training.corpora}:
            raise UserError(
                f"--corpus {corpus.name}: model {info.name} has learnt from it",
                "give corpora that it never met, or the run of a loco",
            )
    evaluators = [
        CorpusEvaluator(c, info.labels, info.front_end, info.window, centring=info.centring)
        for c in corpora
    ]
    made = []
    for enrolment in ENROLMENTS if info.learns_voices else ENROLMENTS[:1]:
        predictions = [x.predictions(model.logits, enrolment, range(orders)) for x in evaluators]
        fits = [(info.temperature, info.abstain_below)] * len(corpora)
        made.append(_row(enrolment, predictions, fits))
    return made


def _of_run(run: Path, corpora: Sequence[Corpus], orders: int, output: Path) -> list[Row]:
    by_name = {corpus.name: corpus for corpus in corpora}
    folds: dict[str, list[tuple[FoldResult, Path]]] = defaultdict(list)
    for result, weights in kept_folds(run, several_seeds=True):
        folds[result.fold].append((result, weights))
    if len(corpora) == 1 and corpora[0].name not in folds:
        return _of_speakers(run, corpora[0], list(folds.values()), orders)
    evaluators = []
    for fold, seeds in folds.items():
        if fold not in by_name:
            raise UserError(f"run {run}: it holds out {fold}", "give that corpus, too")
        evaluators.append(_evaluator_of(by_name[fold], [weights for _, weights in seeds]))
    if len(evaluators) < 2:
        raise UserError(
            f"run {run}: it has one fold", "evaluate --protocol loco leaves one for each corpus"
        )
    unknown = [x.predictions(score, NOTHING, [0])[0] for x, score in evaluators]
    known = [x.predictions(score, EARLIER, [0])[0] for x, score in evaluators]
    write_whole(output / "strangers.json", _as_json(fit(unknown, known)))
    fits = []
    for own, (evaluator, _) in enumerate(evaluators):
        own_fit = fit(unknown[:own] + unknown[own + 1 :], known[:own] + known[own + 1 :])
        fits.append((own_fit.temperature, own_fit.abstain_below))
        if evaluator.centring is not None:
            evaluator.centring = own_fit.applied(evaluator.centring, evaluator.labels)
        click.echo(f"{evaluator.corpus.name}, from the others: {own_fit}", err=True)
    made = []
    for enrolment in ENROLMENTS:
        predictions = [x.predictions(score, enrolment, range(orders)) for x, score in evaluators]
        made.append(_row(enrolment, predictions, fits))
    return made


def _of_speakers(
    run: Path, corpus: Corpus, folds: Sequence[Sequence[tuple[FoldResult, Path]]], orders: int
) -> list[Row]:
    """Of folds that each hold out some speakers of one corpus. Raises UserError for others."""
    evaluators = []
    for seeds in folds:
        scored = set(seeds[0][0].utterances)
        held_out = tuple(u for u in corpus.utterances if u.name in scored)
        if not held_out or {u.speaker for u in held_out} & {
            u.speaker for u in corpus.utterances if u.name not in scored
        }:
            raise UserError(
                f"run {run}: fold {seeds[0][0].fold} holds out no speakers of {corpus.name}",
                "give the corpus and the --labels that were evaluated",
            )
        part = replace(corpus, utterances=held_out)
        evaluators.append(_evaluator_of(part, [weights for _, weights in seeds]))
    made = []
    for enrolment in ENROLMENTS:
        by_fold = [x.predictions(score, enrolment, range(orders)) for x, score in evaluators]
        pool = [pooled(parts) for parts in zip(*by_fold, strict=True)]
        made.append(_row(enrolment, [pool], [(1.0, 0.0)]))
    return made


def _evaluator_of(corpus: Corpus, seeds: Sequence[Path]) -> tuple[CorpusEvaluator, Score]:
    """A corpus that checkpoints which differ in their seeds alone have never heard, and these."""
    network, origin = checkpoint.load_together(seeds)
    recipe = origin.recipe
    evaluator = CorpusEvaluator(
        corpus,
        origin.labels,
        recipe.front_end,
        recipe.window,
        network.min_frames,
        checkpoint.centring_of(network, origin),
    )
    return evaluator, _scored_by(network, recipe.window.pad_frames)


def _scored_by(network: SpeechModel, pad_frames: int) -> Score:
    network.eval()

    def score(windows: Sequence[Pieces]) -> Floats:
        pieces = [piece for window in windows for piece in window]
        features, frames = batch_of(pieces, pad_frames)
        with torch.inference_mode():
            rows = network(torch.from_numpy(features), torch.from_numpy(frames)).float().numpy()
        ends = np.cumsum([len(window) for window in windows])
        logits: Floats = np.stack([part.mean(axis=0) for part in np.split(rows, ends[:-1])])
        return logits

    return score


def _as_json(report: msgspec.Struct) -> bytes:
    return msgspec.json.format(msgspec.json.encode(report))


def _row(
    enrolment: Enrolment, predictions: list[list[Predictions]], fits: Sequence[tuple[float, float]]
) -> Row:
    row = enrolment_row(enrolment.name, predictions, fits)
    click.echo(f"{row.known}: UA of four {100 * row.mean.ua4:.1f} %", err=True)
    return Row(enrolment, predictions, row)


if __name__ == "__main__":
    main()
