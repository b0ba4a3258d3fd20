"""``edgeser models``: lists artefacts, describes one, and changes the daemon's choice."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click
from click.shell_completion import CompletionItem

from edgeser.cli.group import Group
from edgeser.cli.options import MODEL, PATH, json_option
from edgeser.errors import UserError, one_line
from edgeser.paths import SERVICE_SETTINGS, service_name

if TYPE_CHECKING:
    from edgeser.model.artefact import ArtefactInfo, Estimate, TrainingRecord
    from edgeser.model.model import Model
    from edgeser.model.unseen import Unseen


class _Models(Group):
    """A group in which anything but a subcommand is the model to describe."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        known = args[0] in self.commands
        return super().resolve_command(ctx, args if known else ["describe", *args])

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        (name, *_) = describe.params
        return [*name.shell_complete(ctx, incomplete), *super().shell_complete(ctx, incomplete)]


@click.group(
    cls=_Models,
    invoke_without_command=True,
    subcommand_metavar="[NAME|FILE | use NAME|FILE | use --rollback]",
)
@json_option
@click.pass_context
def models(ctx: click.Context, as_json: bool) -> None:
    """List the shipped models, describe one after checking its golden vectors, or switch to one.

    \b
    Examples: edgeser models
              edgeser models lightweight-emodb
              sudo edgeser models use lightweight-emodb-int8
    """
    import msgspec

    from edgeser.model.artefact import shipped_models
    from edgeser.model.model import load_model

    ctx.obj = as_json
    if ctx.invoked_subcommand is not None:
        return
    loaded = [load_model(name) for name in shipped_models()]
    if as_json:
        click.echo(msgspec.json.encode([_as_tree(model) for model in loaded]).decode())
    else:
        _list(loaded)


@models.command(hidden=True)
@click.argument("name", type=MODEL, metavar="NAME|FILE")
@json_option
@click.pass_obj
def describe(asked_json: bool, name: str, as_json: bool) -> None:
    """Describe a model after checking its golden vectors.

    Example: edgeser models lightweight-emodb
    """
    import msgspec

    from edgeser.model.model import load_model

    model = load_model(name)
    if asked_json or as_json:
        click.echo(msgspec.json.encode(_as_tree(model)).decode())
    else:
        _describe(model)


@models.command()
@click.argument("name", required=False, type=MODEL, metavar="[NAME|FILE]")
@click.option("--rollback", is_flag=True, help="Go back to the previous model.")
@click.option(
    "--settings",
    "file",
    type=PATH,
    default=SERVICE_SETTINGS,
    show_default=True,
    metavar="FILE",
    help="Settings file to change.",
)
def use(name: str | None, rollback: bool, file: Path) -> None:
    """Set the model in a daemon's settings file, and make the daemon load it.

    The model's golden vectors are run first: a model that deviates is refused. The previous name is
    kept next to the file (FILE.model-before), for --rollback. If the daemon refuses the model, the
    file is restored.

    \b
    Examples: sudo edgeser models use lightweight-emodb-int8
              sudo edgeser models use --rollback
              edgeser models use my-model.onnx --settings edgeser.toml
    """
    from edgeser.cli.reload import RefusedError, reload_daemon
    from edgeser.doctor.service import Service
    from edgeser.pipeline import chosen_model
    from edgeser.settings.choice import choose, chosen_before, put_back
    from edgeser.settings.load import load_daemon_settings
    from edgeser.speech.config import segmenter_config

    if rollback == (name is not None):
        raise UserError("models use: expected either a model or --rollback")
    settings = load_daemon_settings(file if file.exists() else None, environment={})
    if name is None:
        name = chosen_before(file)
    elif Path(name).is_file():
        name = str(Path(name).absolute())
    model = chosen_model(name, settings)
    segmenter_config(settings.speech, model.info.window)
    service = service_name(file)
    if service is not None and Path(name).is_absolute():
        unit = f"edgeser@{service}" if service else "edgeser"
        Service(unit).check_can_read(Path(name))
    shown = str(file) if file.exists() else f"{file} (new file)"
    before = choose(file, name, settings.model.name)
    click.echo(f"{shown}: {settings.model.name} before, {name} now")
    try:
        pid = reload_daemon(settings, model.ref)
    except RefusedError as error:
        put_back(file, before)
        raise UserError(f"{error.what}; {file} is as it was", error.fix) from error
    if pid is not None:
        click.echo(f"the daemon (pid {pid}) runs {model.info.name} {model.info.version}")
    elif any(endpoint.startswith("ipc:") for endpoint in settings.events.bind):
        click.echo("no daemon runs with these settings; the next one loads it")
    else:
        click.echo(
            "events.bind has only TCP, over which no daemon can be told to reload: reload it"
        )


def _as_tree(model: Model) -> dict[str, object]:
    import msgspec

    return {
        "sha256": model.ref.sha256,
        **msgspec.to_builtins(model.info),
        "unseen": msgspec.to_builtins(_unseen_of(model)),
    }


def _unseen_of(model: Model) -> Unseen | None:
    from edgeser.model.unseen import read_unseen

    return read_unseen(model.artefact.path, model.artefact.sha256)


def _list(loaded: list[Model]) -> None:
    from rich import box
    from rich.table import Table

    from edgeser.cli.console import print_table
    from edgeser.settings.schema import DEFAULT_MODEL

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for heading in ("name", "version"):
        table.add_column(heading, no_wrap=True)
    for heading in ("unknown", "known", "home", "labels"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("licence", no_wrap=True)
    for model in loaded:
        info = model.info
        table.add_row(
            f"{info.name} (default)" if info.name == DEFAULT_MODEL else info.name,
            info.version,
            *_voices(_unseen_of(model)),
            f"{info.training.ua.value * 100:.1f}" if info.training.is_evaluated else "-",
            str(len(info.labels)),
            info.training.licence,
        )
    print_table(table, kept=1)
    click.echo(
        "Mean recall (UA) in %. unknown, known: of four emotions in corpora it never met,\n"
        "before and after it has heard the voice. home: of speakers left out of its own, in\n"
        "full precision."
    )


def _voices(unseen: Unseen | None) -> list[str]:
    """Mean recall with nothing known of a voice, and with the most."""
    if unseen is None:
        return ["-", "-"]
    return [f"{row.ua4.value * 100:.1f}" for row in (unseen.rows[0], unseen.rows[-1])]


def _owed(training: TrainingRecord) -> dict[str, str]:
    """The licences of the data, and the notices that they require."""
    rows = {}
    if training.licences:
        rows["licences"] = ", ".join(f"{name} {text}" for name, text in training.licences.items())
    if training.attribution:
        rows["attribution"] = " ".join(training.attribution)
    return rows


def _describe(model: Model) -> None:
    info, training, window = model.info, model.info.training, model.info.window
    rows = {
        "model": f"{info.name} {info.version}",
        "file": str(model.artefact.path),
        "size": f"{model.artefact.size / 1e6:.1f} MB",
        "sha256": model.ref.sha256,
        "labels": ", ".join(info.labels),
        "trained on": f"{', '.join(training.corpora)} ({training.licence}), {training.date}",
        **_owed(training),
        **_own_corpus(info),
        **_unseen(_unseen_of(model)),
        "windows": f"{window.min_seconds:g} to {window.seconds:g} s, "
        f"whole segments to {window.max_seconds:g} s",
        "frames": _hearing(info),
        "voices": "learnt while it hears them" if info.learns_voices else "not learnt",
        "unknown below": f"{info.abstain_below:.2f}",
        "noise": _noise(info),
        "golden vectors": f"{len(info.golden)} right",
    }
    width = max(map(len, rows))
    for key, value in rows.items():
        click.echo(f"{key:<{width}}  {one_line(value)}")


def _own_corpus(info: ArtefactInfo) -> dict[str, str]:
    """Figures on held-out parts of its corpora, if it was evaluated."""
    training = info.training
    if not training.is_evaluated:
        return {"own corpus": "not evaluated"}
    return {
        "own corpus": info.evaluated_by,
        "  UA %": _percent(training.ua),
        "  WA %": _percent(training.wa),
        "  F1 %": _percent(training.f1),
        "  ECE %": _share(training.ece),
    }


def _unseen(unseen: Unseen | None) -> dict[str, str]:
    """Figures on unseen corpora: with nothing known of a voice, and with the most."""
    if unseen is None:
        return {"unseen corpora": "not evaluated"}
    ends = unseen.rows[:1] if len(unseen.rows) == 1 else [unseen.rows[0], unseen.rows[-1]]
    known = ", then ".join(row.known for row in ends)
    return {
        "unseen corpora": f"{', '.join(unseen.corpora)}, {unseen.date}",
        "  known of voice": known,
        "  UA % of four": ", ".join(_percent(row.ua4) for row in ends),
        "  UA % of all": ", ".join(_percent(row.ua) for row in ends),
        "  AUC arousal": ", ".join(_share(row.arousal_auc) for row in ends),
        "  AUC valence": ", ".join(_share(row.valence_auc) for row in ends),
        "  calibration %": ", ".join(_share(row.ece) for row in ends),
    }


def _share(figure: float | None) -> str:
    return "-" if figure is None else f"{figure * 100:.1f}"


def _percent(estimate: Estimate) -> str:
    low, high = estimate.low * 100, estimate.high * 100
    return f"{estimate.value * 100:.1f} ({low:.1f} to {high:.1f})"


def _noise(info: ArtefactInfo) -> str:
    if info.noise is None:
        return "not known: everything is taken for speech"
    return (
        f"known from {info.noise.sounds}; held out, {info.noise.found:.0%} is found, "
        f"{info.noise.mistaken:.1%} of speech mistaken for it"
    )


def _hearing(info: ArtefactInfo) -> str:
    """How often the network computes a frame."""
    if info.streaming is None:
        return "anew in every window"
    block_s = info.streaming.block_frames * info.front_end.hop / info.front_end.sample_rate
    return f"each once, {block_s:g} s at a time"
