"""What ``edgeser export`` is asked for, and which options go together."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from edgeser.errors import UserError
from edgeser.model.artefact import Precision


@dataclass(frozen=True)
class Asked:
    """The arguments of the command."""

    checkpoints: tuple[Path, ...]
    output: Path | None
    artefact: Path | None
    report_file: Path | None
    temperature: float | None
    strangers_file: Path | None
    abstain_below: float | None
    name: str | None
    release: str | None
    precision: Precision
    calibrate: tuple[str, ...]
    noise: Path | None
    noise_named: str
    noise_credit: str | None
    symmetric: bool
    waveform: bool
    sounds: tuple[Path, ...]
    seed: int | None

    def check(self) -> None:
        """Raises UserError for options that do not go together."""
        output, is_check = self.output, self.artefact is not None
        if (output is None) != is_check:
            raise UserError("give either -o, the file to write, or --check, the file to compare")
        if output is not None and output.suffix != ".onnx":  # so that a typo replaces no checkpoint
            raise UserError(f"-o {output}: an artefact is a .onnx file", "name it so")
        if not is_check and (self.sounds or self.seed is not None):
            raise UserError("--sounds and --seed go with --check")
        only_written = (self.waveform, self.calibrate, self.noise, self.symmetric)
        if is_check and (any(only_written) or self.precision != "fp32"):
            raise UserError(
                "--waveform, --precision, --symmetric, --calibrate and --noise go with -o",
                "leave them out, --check detects them",
            )
        if self.symmetric and self.precision != "int8":
            raise UserError(f"--symmetric goes with --precision int8, not with {self.precision}")
        if self.waveform and self.precision != "fp32":
            raise UserError("--waveform: a front end needs fp32", "leave --precision out")
        if self.waveform and self.noise is not None:
            raise UserError(
                "--noise: a graph with a front end gives emotions alone", "leave it out"
            )
        if (self.precision == "int8" or self.noise is not None) != bool(self.calibrate):
            raise UserError(
                "--calibrate goes with --precision int8 and with --noise, which need it"
            )
        if self.noise is None and (self.noise_named or self.noise_credit):
            raise UserError("--noise-named and --noise-credit go with --noise")
        if is_check and (self.name is not None or self.release is not None):
            raise UserError(
                "--name and --release go with -o", "leave them out, --check detects them"
            )
