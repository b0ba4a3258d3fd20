"""``edgeser unseen``: how well a model does with voices and corpora that it never met."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import click

from edgeser.cli.options import MODEL, PATH
from edgeser.errors import UserError
from edgeser_train.commands.options import command_line, need_extra, report_failures

if TYPE_CHECKING:
    from edgeser.model.model import Model
    from edgeser_train.corpora import Corpus
    from edgeser_train.evaluation.unknown_voice_calibration import UnknownVoiceCalibration
    from edgeser_train.evaluation.unseen_report import EnrolmentRow
    from edgeser_train.evaluation.unseen_rows import Row, UnseenCorpus

_LABELS = "angry,disgusted,fearful,happy,neutral=neutral+calm,sad"
_WIDTH = 30
"""Of the column that says what is known of a voice."""


@click.command()
@click.argument("model", type=MODEL, metavar="MODEL|RUN")
@click.option(
    "--corpus",
    "corpora",
    required=True,
    multiple=True,
    metavar="NAME=PATH",
    help="A corpus that it never met, e.g. savee=/data/savee (repeatable).",
)
@click.option(
    "--labels",
    default=_LABELS,
    show_default=True,
    metavar="A,B,C=C+D",
    help="Only these classes; C=C+D counts both as C.",
)
@click.option(
    "--orders",
    default=2,
    show_default=True,
    type=click.IntRange(min=1),
    metavar="N",
    help="How often the known utterances are drawn at random; the figures are averaged.",
)
@click.option(
    "--beside",
    type=MODEL,
    metavar="MODEL|RUN",
    help="Also report the paired difference from this model.",
)
@click.option(
    "--robustness",
    is_flag=True,
    help="Also score in noise, a room, a telephone band and a codec.",
)
@click.option(
    "--card",
    is_flag=True,
    help="Also write the figures next to the model's file, where `edgeser models` finds them.",
)
@click.option(
    "-o",
    "--output",
    required=True,
    type=PATH,
    metavar="FOLDER",
    help="Folder of unseen.md and unseen.json.",
)
@report_failures(kept="no figures were kept", less_memory="give fewer corpora")
def unseen(
    model: str,
    corpora: tuple[str, ...],
    labels: str,
    orders: int,
    beside: str | None,
    robustness: bool,
    card: bool,
    output: Path,
) -> None:
    """Score a model on voices and corpora that it never met.

    With nothing known of a voice; with 1, 3, 10 and all earlier utterances of it, of any emotion,
    mostly neutral, neutral or of one emotion; and after hearing another person, or two in turn.
    MODEL is a name or a file, as for `edgeser run`; it must not have been trained on any of the
    corpora. RUN is the folder of an `edgeser evaluate`:

    \b
    --protocol loco      each fold is scored on the corpus that it held out, its seeds
                         put together as `edgeser export` does; how far unknown voices
                         are to be believed is fitted on the other folds, and on all of
                         them for OUTPUT/strangers.json (`edgeser export --strangers`)
    loso, speaker_kfold  each fold on its speakers of the one corpus, pooled

    \b
    Examples: edgeser unseen moonshine6 --corpus savee=/data/savee --beside streaming6
                -o reports/moonshine6
              edgeser unseen runs/loco --corpus emodb7=/data/emodb --corpus mesd=/data/mesd
                -o reports/loco
    """
    need_extra("train")
    import torch

    from edgeser.model.artefact import model_path
    from edgeser.model.unseen import unseen_file
    from edgeser_train.corpora import load_corpus
    from edgeser_train.corpora.selection import left_out, selections
    from edgeser_train.evaluation.unseen_report import (
        Document,
        as_json,
        counts,
        gained,
        markdown,
        record,
    )
    from edgeser_train.evaluation.unseen_rows import check_corpora, conditions_of, rows_of
    from edgeser_train.files import check_writable, write_whole
    from edgeser_train.sound.conditions import ROBUSTNESS, missing

    if card and Path(model).is_dir():
        raise UserError("--card: a run has no artefact", "export it, and score that")
    if card:
        check_writable(unseen_file(model_path(model)))
    check_writable(output / "unseen.json")
    torch.set_num_threads(1)
    whole = [load_corpus(corpus) for corpus in corpora]
    loaded = selections(whole, labels)
    check_corpora(loaded)
    opened = _opened(model, loaded)
    opened_beside = None if beside is None else _opened(beside, loaded, "--beside: ")
    scored, calibration = _scored(opened, loaded)
    if calibration is not None:
        write_whole(output / "strangers.json", as_json(calibration))
        click.echo(output / "strangers.json")
    others: Iterator[Row] = iter(())
    if opened_beside is not None:
        others = rows_of(_scored(opened_beside, loaded)[0], orders)
    known = scored[0].parts[0].scorer.labels
    unscored = {
        corpus.name: classes
        for corpus, chosen in zip(whole, loaded, strict=True)
        if (classes := left_out(corpus, chosen, known))
    }
    for name, classes in unscored.items():
        click.echo(
            f"{name}: {sum(classes.values())} utterances are left out ({counts(classes)}): "
            "not of --labels, or the model does not know them",
            err=True,
        )
    click.echo(f"{'known of the voice':<{_WIDTH}}UA of four classes, %")
    rows, gains = [], []
    for row in rows_of(scored, orders):
        rows.append(row.metrics)
        click.echo(_line(row.metrics))
        for other in islice(others, 1):  # a model without baselines has only one row
            gains.append(gained(row.enrolment.name, row.predictions, other.predictions))
    for condition, reason in missing().items() if robustness else ():
        click.echo(f"condition '{condition}' is left out: {reason}", err=True)
    conditions = []
    for in_condition in conditions_of(scored, ROBUSTNESS if robustness else (), orders):
        conditions.append(in_condition)
        click.echo(_line(in_condition.metrics, in_condition.condition))
    report = Document(
        rows=rows,
        model=Path(model).name,
        command=command_line(corpora),
        orders=orders,
        beside=Path(beside or "").name,
        gains=gains,
        conditions=conditions,
        left_out=unscored,
    )
    write_whole(output / "unseen.json", as_json(report))
    write_whole(output / "unseen.md", markdown(report).encode())
    if card:
        path = model_path(model)
        sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
        write_whole(unseen_file(path), as_json(record(report, sha256)))
    click.echo(output / "unseen.md")


def _opened(model: str, corpora: Sequence[Corpus], option: str = "") -> Model | Path:
    """A model, or the folder of a run, after a check that it can be scored on the corpora.

    Raises UserError, which begins with the option.
    """
    from edgeser.model.model import load_model
    from edgeser_train.evaluation.unseen_rows import check_model, folds_of_run

    try:
        if Path(model).is_dir():
            folds_of_run(Path(model), corpora)
            return Path(model)
        loaded = load_model(model, "onnxruntime")
        check_model(loaded, corpora)
        return loaded
    except UserError as error:
        raise UserError(f"{option}{error.what}", error.fix) from error


def _scored(
    opened: Model | Path, corpora: Sequence[Corpus]
) -> tuple[list[UnseenCorpus], UnknownVoiceCalibration | None]:
    """The corpora with a model, or with the models of a run and the calibration fitted on it."""
    from edgeser_train.evaluation.unseen_rows import unseen_by_folds, unseen_by_model

    if isinstance(opened, Path):
        return unseen_by_folds(opened, corpora)
    return unseen_by_model(opened, corpora), None


def _line(row: EnrolmentRow, condition: str = "") -> str:
    ua4 = row.ua4
    return (
        f"{row.known:<{_WIDTH}}{100 * row.mean.ua4:.1f} "
        f"({100 * ua4.low:.1f} to {100 * ua4.high:.1f})  {condition}"
    ).rstrip()
