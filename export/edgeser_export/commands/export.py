"""``edgeser export``: a checkpoint in, a verified artefact out."""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from edgeser.cli.options import PATH, Number
from edgeser.errors import UserError
from edgeser.model.artefact import shipped_models
from edgeser_train.commands.options import need_extra

if TYPE_CHECKING:
    from edgeser_export.check import ExportOptions
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
def export(
    checkpoints: tuple[Path, ...],
    output: Path | None,
    artefact: Path | None,
    report_file: Path | None,
    temperature: float | None,
    strangers_file: Path | None,
    abstain_below: float | None,
    name: str | None,
    release: str | None,
    precision: Literal["fp32", "fp16", "int8"],
    calibrate: tuple[str, ...],
    noise: Path | None,
    noise_named: str,
    noise_credit: str | None,
    symmetric: bool,
    waveform: bool,
    sounds: tuple[Path, ...],
    seed: int | None,
) -> None:
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
    _consistent(output, artefact, precision, symmetric, calibrate, noise, waveform, sounds, seed)
    calibration = (temperature, strangers_file, abstain_below)
    if noise is None and (noise_named or noise_credit):
        raise UserError("--noise-named and --noise-credit go with --noise")
    if artefact is not None and (name is not None or release is not None):
        raise UserError("--name and --release go with -o", "leave them out, --check detects them")
    made = next((path for path in checkpoints if _is_artefact(path)), None)
    if made is not None:
        given = (report_file, artefact, name, release, *calibration)
        alone = waveform and len(checkpoints) == 1
        if not alone or any(option is not None for option in given):
            raise UserError(
                f"export: {made} is an artefact already, with its name, version and figures",
                "give --waveform and -o alone, to put its front end into it",
            )
        assert output is not None
        if output.resolve() == made.resolve():
            raise UserError(
                f"-o {output}: that is the artefact which the front end is put into",
                "name another file",
            )
        from edgeser_export.waveform_export import waveform_of_artefact

        _tell(output, f"the artefact {made}", waveform_of_artefact(str(made), output))
        return
    need_extra("train")
    from edgeser_train.evaluation.report_files import read
    from edgeser_train.evaluation.unknown_voice_calibration import read as read_strangers
    from edgeser_train.files import check_writable
    from edgeser_train.training.checkpoint import load_together

    model, origin = load_together(checkpoints)
    report = None if report_file is None else read(report_file)
    strangers = None if strangers_file is None else read_strangers(strangers_file)
    if artefact is not None:
        from edgeser_export.check import ExportOptions

        given_to_it = ExportOptions(report, strangers, temperature, abstain_below)
        _check(artefact, model, origin, sounds, seed, given_to_it)
        return
    assert output is not None
    check_writable(output)
    from edgeser_export.calibration import training_pieces
    from edgeser_export.onnx_export import Release, centring_with, check_precision, export_waveform
    from edgeser_export.onnx_export import export as export_model
    from edgeser_export.record import calibration_of, record_of

    record = record_of(origin, report)
    fitted, threshold = calibration_of(strangers or report)
    divided_by = fitted if temperature is None else temperature
    check_precision(model, precision)
    centring_with(model, origin, strangers, divided_by)  # raises for what does not fit, before work
    learnt = None
    if noise is not None:
        from edgeser_export.noise import learn_noise

        credit = noise_credit or noise.resolve().name
        learnt = learn_noise(model, origin, calibrate, noise, noise_named, credit)
        click.echo(
            f"noise: {learnt.found:.1%} of sounds held out are found, and at most "
            f"{learnt.mistaken:.1%} of a corpus held out is taken for it"
        )
    details = Release(
        name or output.stem,
        release or "1.0.0",
        divided_by,
        threshold if abstain_below is None else abstain_below,
        record,
        strangers,
        learnt,
    )
    if waveform:
        difference = export_waveform(model, origin, output, details)
    else:
        pieces = []
        if precision == "int8":
            pieces = training_pieces(calibrate, origin, model.min_frames)
        difference = export_model(
            model,
            origin,
            output,
            details,
            precision=precision,
            calibration=pieces,
            symmetric=symmetric,
        )
    _tell(output, "PyTorch", difference)


def _is_artefact(path: Path) -> bool:
    return path.suffix == ".onnx" or str(path) in shipped_models()


def _tell(output: Path, source: str, difference: Difference) -> None:
    size_mb = output.stat().st_size / 1e6
    click.echo(f"{output}: {size_mb:.1f} MB, differs from {source} by at most {difference}")


def _check(
    artefact: Path,
    model: SpeechModel,
    origin: Origin,
    sounds: tuple[Path, ...],
    seed: int | None,
    given: ExportOptions,
) -> None:
    from edgeser_export.check import check

    seed = secrets.randbelow(2**32) if seed is None else seed
    found = check(artefact, model, origin, sounds, seed, given)
    click.echo(
        f"{artefact}: differs from the checkpoint by at most {found.difference}; --seed {seed}"
    )
    if found.not_compared:
        click.echo(
            f"not compared: {', '.join(found.not_compared)}; that takes the --report, or what else "
            "it was exported with"
        )


def _consistent(
    output: Path | None,
    artefact: Path | None,
    precision: str,
    symmetric: bool,
    calibrate: tuple[str, ...],
    noise: Path | None,
    waveform: bool,
    sounds: tuple[Path, ...],
    seed: int | None,
) -> None:
    """Raises UserError for options that do not go together."""
    if (output is None) == (artefact is None):
        raise UserError("give either -o, the file to write, or --check, the file to compare")
    if output is not None and output.suffix != ".onnx":  # so that a typo replaces no checkpoint
        raise UserError(f"-o {output}: an artefact is a .onnx file", "name it so")
    if artefact is None and (sounds or seed is not None):
        raise UserError("--sounds and --seed go with --check")
    if artefact is not None and (
        waveform or calibrate or noise or symmetric or precision != "fp32"
    ):
        raise UserError(
            "--waveform, --precision, --symmetric, --calibrate and --noise go with -o",
            "leave them out, --check detects them",
        )
    if symmetric and precision != "int8":
        raise UserError(f"--symmetric goes with --precision int8, not with {precision}")
    if waveform and precision != "fp32":
        raise UserError("--waveform: a front end needs fp32", "leave --precision out")
    if waveform and noise is not None:
        raise UserError("--noise: a graph with a front end gives emotions alone", "leave it out")
    if (precision == "int8" or noise is not None) != bool(calibrate):
        raise UserError("--calibrate goes with --precision int8 and with --noise, which need it")
