"""``edgeser export``: a checkpoint in, a verified artefact out."""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edgeser.cli.options import PATH, Number
from edgeser.errors import UserError
from edgeser.model.artefact import shipped_models
from edgeser.paths import as_utf8
from edgeser_export.commands.asked import Asked
from edgeser_train.commands.options import need_extra

if TYPE_CHECKING:
    from edgeser.model.artefact import Noise
    from edgeser_export.record import Calibration
    from edgeser_export.verify import Difference
    from edgeser_train.models.speech_model import SpeechModel
    from edgeser_train.training.checkpoint import Origin


@click.command()
@click.argument("checkpoints", type=PATH, nargs=-1, required=True, metavar="CKPT...|MODEL")
@click.option("-o", "--output", type=PATH, metavar="FILE", help="The .onnx file to write.")
@click.option(
    "--check",
    "artefact",
    type=PATH,
    metavar="FILE",
    help="Write nothing; compare this .onnx file with the checkpoint.",
)
@click.option(
    "--report",
    "report_file",
    type=PATH,
    metavar="RUN|FILE",
    help="Run of `edgeser evaluate` with the same recipe, or its report.json: temperature, "
    "threshold, figures.",
)
@click.option(
    "--temperature",
    type=Number(min=0, min_open=True),
    metavar="NUMBER",
    help="Temperature that divides the logits, instead of the report's.",
)
@click.option(
    "--strangers",
    "strangers_file",
    type=PATH,
    metavar="FILE",
    help="strangers.json of `edgeser unseen RUN`, of a loco with the same recipe: temperature, "
    "threshold, the offset for unknown voices, and the scale for known ones.",
)
@click.option(
    "--abstain-below",
    type=Number(min=0, max=1, max_open=True),
    metavar="CONFIDENCE",
    help="Confidence below which the label is unknown, instead of the report's.",
)
@click.option("--name", metavar="NAME", help="Name of the model.  [default: that of the file]")
@click.option("--release", metavar="VERSION", help="Version of the model.  [default: 1.0.0]")
@click.option(
    "--precision",
    type=click.Choice(["fp32", "fp16", "int8"]),
    default="fp32",
    show_default=True,
    help="Precision of weights and inner tensors; inputs and outputs are not changed.",
)
@click.option(
    "--calibrate",
    multiple=True,
    metavar="NAME=PATH",
    help="With int8 or --noise: a corpus that the checkpoint was trained on. Only utterances "
    "that trained it are used (repeatable).",
)
@click.option(
    "--noise",
    type=PATH,
    metavar="FOLDER",
    help="Sounds without speech: the model learns to label such sounds unknown. Needs two "
    "corpora with --calibrate.",
)
@click.option(
    "--noise-named",
    default="",
    metavar="REGEX",
    help="With --noise: only files whose name matches.",
)
@click.option(
    "--noise-credit",
    metavar="CREDIT",
    help="With --noise: credit for the sounds, for the model's card.  [default: the folder]",
)
@click.option(
    "--symmetric",
    is_flag=True,
    help="With int8: symmetric quantisation and unquantised biases, as TensorRT requires. "
    "Without this option: what is faster on x86 and ARM.",
)
@click.option(
    "--waveform",
    is_flag=True,
    help="Put the front end into the graph: samples in, probabilities and logits out. For other "
    "runtimes (docs/elsewhere.md); the daemon runs artefacts without it. Takes a shipped model or "
    "an artefact, too.",
)
@click.option(
    "--sounds",
    multiple=True,
    type=PATH,
    metavar="FILE|FOLDER",
    help="With --check: sound files, or a folder, to compare on as well (repeatable).",
)
@click.option(
    "--seed",
    type=click.IntRange(min=0),
    metavar="N",
    help="With --check: seed of batch sizes, lengths and choice of sounds.  [default: random]",
)
def export(**arguments: Any) -> None:
    """Export a checkpoint to ONNX, with everything that the daemon needs in its metadata.

    The graph is compared with PyTorch at several lengths and batch sizes first; one that differs by
    more than 1e-4 in a logit (fp16: 1 % of a logit; int8: 0.5 on speech) is refused. Without
    --report the scores are not calibrated, the model never abstains, and it says that it was not
    evaluated.

    Several checkpoints that differ only in --seed become one model, an ensemble: it averages their
    logits and costs as much as all of them.

    --check compares an existing file in the same way, at random lengths and batch sizes, reports
    where the largest difference was, and checks the metadata. Give it the --report, --strangers,
    --temperature and --abstain-below that the file was exported with.

    \b
    Examples: edgeser export runs/emodb/model.pt --report runs/loso/report/report.json
              -o my-model.onnx
              edgeser export runs/emodb/model.pt --precision int8 --calibrate emodb=/data/emodb
              -o my-model-int8.onnx
              edgeser export runs/emodb/model.pt --check my-model.onnx --sounds /data/emodb
              edgeser export runs/all/model.pt --noise /data/ESC-10 --noise-named '^[123]-'
              --calibrate emodb=/data/emodb --calibrate mesd=/data/mesd -o my-model.onnx
              edgeser export runs/seed-1/model.pt runs/seed-2/model.pt -o both.onnx
              edgeser export lightweight-emodb --waveform -o lightweight-waveform.onnx
    """
    need_extra("export")
    asked = Asked(**arguments)
    asked.check()
    made = next((path for path in asked.checkpoints if _is_artefact(path)), None)
    if made is not None:
        _export_artefact(made, asked)
        return
    need_extra("train")
    from edgeser_export.record import Calibration
    from edgeser_train.evaluation.report_files import read
    from edgeser_train.evaluation.unknown_voice_calibration import read as read_strangers
    from edgeser_train.training.checkpoint import load_together

    model, origin = load_together(asked.checkpoints)
    report, strangers = asked.report_file, asked.strangers_file
    calibration = Calibration(
        None if report is None else read(report),
        None if strangers is None else read_strangers(strangers),
        asked.temperature,
        asked.abstain_below,
    )
    if asked.artefact is not None:
        _check(asked.artefact, model, origin, calibration, asked)
    elif asked.output is not None:
        _export(asked.output, model, origin, calibration, asked)


def _is_artefact(path: Path) -> bool:
    return path.suffix == ".onnx" or str(path) in shipped_models()


def _export_artefact(made: Path, asked: Asked) -> None:
    """Put the front end of an artefact into its graph."""
    of_checkpoints = (
        *(asked.report_file, asked.strangers_file, asked.temperature, asked.abstain_below),
        *(asked.name, asked.release),
    )
    alone = asked.waveform and len(asked.checkpoints) == 1
    if not alone or any(option is not None for option in of_checkpoints):
        raise UserError(
            f"export: {made} is an artefact already, with its name, version and figures",
            "give --waveform and -o alone, to put its front end into it",
        )
    assert asked.output is not None
    if asked.output.resolve() == made.resolve():
        raise UserError(
            f"-o {asked.output}: that is the artefact which the front end is put into",
            "name another file",
        )
    from edgeser_export.waveform_export import waveform_of_artefact

    _tell(asked.output, f"the artefact {made}", waveform_of_artefact(str(made), asked.output))


def _export(
    output: Path, model: SpeechModel, origin: Origin, calibration: Calibration, asked: Asked
) -> None:
    from edgeser_export.calibration import training_pieces
    from edgeser_export.onnx_export import Release, centring_with, check_precision, export_waveform
    from edgeser_export.onnx_export import export as export_model
    from edgeser_export.record import record_of
    from edgeser_train.files import check_writable

    # What cannot be is refused before any work.
    check_writable(output)
    record = record_of(origin, calibration.report)
    check_precision(model, asked.precision)
    centring_with(model, origin, calibration)
    noise = None if asked.noise is None else _learn_noise(asked.noise, model, origin, asked)
    name, number = asked.name or output.stem, asked.release or "1.0.0"
    release = Release(as_utf8(name), as_utf8(number), record, calibration, noise)
    if asked.waveform:
        difference = export_waveform(model, origin, output, release)
    else:
        pieces = []
        if asked.precision == "int8":
            pieces = training_pieces(asked.calibrate, origin, model.min_frames)
        difference = export_model(
            model,
            origin,
            output,
            release,
            precision=asked.precision,
            calibration=pieces,
            symmetric=asked.symmetric,
        )
    _tell(output, "PyTorch", difference)


def _learn_noise(folder: Path, model: SpeechModel, origin: Origin, asked: Asked) -> Noise:
    from edgeser_export.noise import learn_noise

    credit = as_utf8(asked.noise_credit or folder.resolve().name)
    learnt = learn_noise(model, origin, asked.calibrate, folder, asked.noise_named, credit)
    click.echo(
        f"noise: {learnt.found:.1%} of sounds held out are found, and at most "
        f"{learnt.mistaken:.1%} of a corpus held out is taken for it"
    )
    return learnt


def _tell(output: Path, source: str, difference: Difference) -> None:
    size_mb = output.stat().st_size / 1e6
    click.echo(f"{output}: {size_mb:.1f} MB, differs from {source} by at most {difference}")


def _check(
    artefact: Path, model: SpeechModel, origin: Origin, calibration: Calibration, asked: Asked
) -> None:
    from edgeser_export.check import check

    seed = secrets.randbelow(2**32) if asked.seed is None else asked.seed
    found = check(artefact, model, origin, asked.sounds, seed, calibration)
    click.echo(
        f"{artefact}: differs from the checkpoint by at most {found.difference}; --seed {seed}"
    )
    if found.not_compared:
        click.echo(
            f"not compared: {', '.join(found.not_compared)}; that takes the --report, or what else "
            "it was exported with"
        )
