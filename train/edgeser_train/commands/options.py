"""Options shared by the commands that need an extra, and the error when it is missing."""

from __future__ import annotations

import shlex
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TypeVar

import click
from click.shell_completion import CompletionItem

from edgeser.cli.options import PATH
from edgeser.errors import OUT_OF_MEMORY, UserError, shortage
from edgeser_train.models import MODELS

LARGEST_SEED = 2**32 - 1
"""The largest that NumPy's and Lightning's generators accept."""

_Command = TypeVar("_Command", bound=Callable[..., object])

_NEEDED = {
    "train": ("torch", "lightning", "matplotlib"),
    "export": ("torch", "onnx"),
}


class _Model(click.ParamType[str]):
    """The name of a model, ours or of another package that is installed."""

    name = "name"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        if value not in MODELS:
            self.fail(f"no model {value!r}; there is {', '.join(MODELS)}", param, ctx)
        return value

    def get_metavar(self, param: click.Parameter, ctx: click.Context | None = None) -> str:
        return f"[{'|'.join(MODELS)}]"

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        return [CompletionItem(name) for name in MODELS if name.startswith(incomplete)]


class ProtocolName(click.ParamType[str]):
    """The name of a protocol, ours or of another package; protocols are imported only if needed."""

    name = "name"

    def get_metavar(self, param: click.Parameter, ctx: click.Context | None = None) -> str:
        return f"[{'|'.join(_protocols())}]"

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        return [CompletionItem(name) for name in _protocols() if name.startswith(incomplete)]


def _protocols() -> list[str]:
    from edgeser_train.data.protocols import PROTOCOLS

    return list(PROTOCOLS)


_OPTIONS = (
    click.option(
        "--model",
        type=_Model(),
        default="lightweight",
        show_default=True,
        help="The architecture.",
    ),
    click.option(
        "--corpus",
        "corpora",
        required=True,
        multiple=True,
        metavar="NAME=PATH",
        help="The corpus, e.g. emodb=/data/emodb; several are merged (repeatable).",
    ),
    click.option(
        "--labels",
        metavar="A,B,C=C+D",
        help="Only these classes; C=C+D counts both as C.  [default: all classes of the corpora]",
    ),
    click.option(
        "--recipe",
        "recipe_name",
        metavar="NAME",
        help="edgeser: how we train it; paper: how its paper did; voices (lightweight, streaming, "
        "moonshine): for unknown voices.  [default: edgeser, or the only one there is]",
    ),
    click.option(
        "--set",
        "settings",
        multiple=True,
        metavar="FIELD=VALUE",
        help="Change the recipe, e.g. epochs=60 or model.blocks=5 (repeatable).",
    ),
    click.option(
        "--teacher",
        "teachers",
        multiple=True,
        type=PATH,
        metavar="CKPT|RUN",
        help="Distil from this model; a folder holds one per fold. Several are averaged "
        "(repeatable).",
    ),
    click.option(
        "--initialise",
        type=PATH,
        metavar="CKPT|RUN",
        help="Start from this model's weights: all of them if the architecture is the same, "
        "otherwise the trunk (pcnse-sadrn-ctc); a folder holds one per fold.",
    ),
    click.option(
        "--data-seed",
        default=1,
        show_default=True,
        type=click.IntRange(0, LARGEST_SEED),
        metavar="N",
        help="Seed of splits, of the order of examples and of augmentation.",
    ),
    click.option(
        "--cache",
        default=Path("runs/cache"),
        show_default=True,
        type=PATH,
        metavar="FOLDER",
        help="Folder for the cached frames of the corpora.",
    ),
    click.option("--dry-run", is_flag=True, help="Show what would be trained, without training."),
)


def experiment_options(command: _Command) -> _Command:
    """The options of both `edgeser train` and `edgeser evaluate`: model, corpora and recipe."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def command_line(corpora: tuple[str, ...]) -> str:
    """The command as typed, but without the corpora's paths and folders of absolute paths, which
    mean nothing to others.
    """
    words = [Path(word).name if Path(word).is_absolute() else word for word in sys.argv[1:]]
    for corpus in corpora:
        name, _, path = corpus.partition("=")
        words = [word.replace(f"{name}={path}", f"{name}=PATH") for word in words]
    return shlex.join(["edgeser", *words])


def need_extra(extra: str) -> None:
    """Raises UserError that says what to install when the extra's libraries are missing."""
    missing = [name for name in _NEEDED[extra] if find_spec(name) is None]
    if missing:
        raise UserError(
            f"this command needs {', '.join(missing)}: install with pip install 'edgeser[{extra}]'"
        )


@contextmanager
def report_failures(
    kept: str = "the same command continues from there",
    less_memory: str = "lower --jobs or the batch",
) -> Iterator[None]:
    """For long work: raises UserError when memory or disk run out; Ctrl-C or SIGTERM ends it with
    one line. ``kept``: what remains of the work then; ``less_memory``: how to need less memory.
    """
    stopped_by = signal.SIGINT

    def stop(number: int, _: object) -> None:
        nonlocal stopped_by
        stopped_by = signal.Signals(number)
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    except UserError:
        raise
    except KeyboardInterrupt:
        click.echo(f"edgeser: stopped; {kept}", err=True)
        raise SystemExit(128 + stopped_by) from None
    except Exception as error:
        lacking = shortage(error)
        if lacking is None:
            raise
        fix = less_memory if lacking.startswith(OUT_OF_MEMORY) else "fix that"
        raise UserError(lacking, f"{fix}; {kept}") from error
    finally:
        signal.signal(signal.SIGTERM, before)
