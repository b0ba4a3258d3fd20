"""``edgeser export``: a checkpoint in, a verified artefact out."""

from __future__ import annotations

from pathlib import Path

import click

from edgeser.cli.extras import need_extra


@click.command()
@click.argument("checkpoint", type=click.Path(path_type=Path), metavar="CKPT")
@click.option(
    "-o", "--output", required=True, type=click.Path(path_type=Path), help="The .onnx file."
)
@click.option(
    "--report",
    "report_file",
    type=click.Path(path_type=Path),
    help="report.json of `edgeser evaluate` with the same recipe: temperature, threshold, figures.",
)
@click.option("--name", help="Name of the model.  [default: that of the file]")
@click.option("--release", default="1.0.0", show_default=True, help="Version of the model.")
def export(
    checkpoint: Path, output: Path, report_file: Path | None, name: str | None, release: str
) -> None:
    """Export a checkpoint to ONNX with all that the daemon needs to know in its metadata.

    The graph is compared with PyTorch at several lengths and batch sizes first; one that differs by
    more than 1e-4 is refused. Without --report the scores are not calibrated, the model never
    abstains, and it says that it was not evaluated.

    \b
    Example: edgeser export runs/emodb/model.pt --report runs/loso/report/report.json
             -o my-model.onnx
    """
    need_extra("export")
    need_extra("train")
    from edgeser_export.onnx_export import export as export_model
    from edgeser_export.record import calibration_of, record_of
    from edgeser_train import checkpoint as checkpoints
    from edgeser_train.report_files import read

    model, origin = checkpoints.load(checkpoint)
    report = None if report_file is None else read(report_file)
    training = record_of(origin, report)
    temperature, abstain_below = calibration_of(report)
    difference = export_model(
        model,
        origin,
        output,
        name=name or output.stem,
        version=release,
        temperature=temperature,
        abstain_below=abstain_below,
        training=training,
    )
    size_mb = output.stat().st_size / 1e6
    click.echo(f"{output}: {size_mb:.1f} MB, differs from PyTorch by at most {difference:.1e}")
