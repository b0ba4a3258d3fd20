"""report.json: written and read."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

import msgspec

from edgeser.errors import UserError
from edgeser_train.evaluation.evaluation import FORMAT, Evaluation
from edgeser_train.training.recipe import by_name

AnyEvaluation = TypeVar("AnyEvaluation", bound=Evaluation)


class _Format(msgspec.Struct):
    format: int = 1
    confusion: list[list[int]] | None = None


def to_json(evaluation: Evaluation) -> bytes:
    """One line for each field, so that the predictions do not fill the screen."""
    fields = msgspec.to_builtins(evaluation).items()
    lines = [f"{_json(name)}: {_json(value)}" for name, value in fields]
    return ("{\n" + ",\n".join(lines) + "\n}\n").encode()


def find_report(run: Path) -> Path:
    """The report.json of a run: in its folder, in its ``report``, or the file itself.

    Raises UserError when there is none.
    """
    if run.is_file():
        return run
    for path in (run / "report.json", run / "report" / "report.json"):
        if path.is_file():
            return path
    reason = "holds no report.json" if run.is_dir() else "no such file or folder"
    raise UserError(f"report {run}: {reason}", "'edgeser evaluate' makes one")


def read(path: Path, kind: type[AnyEvaluation]) -> AnyEvaluation:
    """The report.json of a run, or the file itself, as an Evaluation, or as a Report where the
    recipe matters.

    Raises UserError as ``find_report`` does, and for any other file.
    """
    path = find_report(path)
    try:
        # The field's name in older reports.
        content = path.read_bytes().replace(b'"forebears_known"', b'"ancestors_known"')
        found = msgspec.json.decode(content, type=_Format)
        if found.confusion is not None and found.format != FORMAT:
            raise UserError(
                f"report {path}: of format {found.format}, this edgeser reads {FORMAT}",
                "'edgeser evaluate' writes it again from the folds it has kept",
            )
        return msgspec.json.decode(content, type=kind, dec_hook=by_name)
    except OSError as error:
        raise UserError(f"report {path}: cannot be read: {error.strerror}") from error
    except (msgspec.MsgspecError, ValueError) as error:
        raise UserError(f"report {path}: not a report of 'edgeser evaluate': {error}") from error


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode()
