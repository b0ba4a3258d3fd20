"""Reference pages made from the code: settings, commands, the Python interface, models."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

import edgeser
from edgeser.cli import main
from edgeser.cli.manual import leaves
from edgeser.events import schema as events
from edgeser.settings import json_schema as settings

CONTENTS = (
    "reference/python.md",
    "reference/settings.md",
    "reference/commands.md",
    "reference/models.md",
    "reference/reports.md",
)
"""In the order of the navigation."""

SHIPPED_SETTINGS = Path(__file__).parents[2] / "systemd" / "edgeser.toml"


def pages() -> dict[str, str]:
    """Markdown of every page by file name; the models' pages come from ``cards``."""
    return {
        "reference/python.md": python_page(),
        "reference/settings.md": settings_page(),
        "reference/commands.md": commands_page(),
        "reference/reports.md": REPORTS,
    }


REPORTS = """# Reports

Every evaluation, as `edgeser evaluate` and the benchmarks wrote it. [Models](../models.md) puts \
them side by side.

```{toctree}
:glob:
:maxdepth: 1

../reports/**
```
"""


UNIONS = {
    "AnyEvent": "Every event that a daemon publishes.",
    "Received": "What a ``Subscriber`` gives: an event or a ``Gap``.",
    "Heard": "What a ``Live`` gives: an ``EmotionEvent`` or a ``SpeechEvent``.",
    "AnySamples": "Arrays of int16, or of floats with full scale at 1: (n,) or (n, channels).",
}


def words(schema: dict[str, Any]) -> str:
    """A type of a JSON Schema in words."""
    if "$ref" in schema:
        return f"`{schema['$ref'].rsplit('/', 1)[1]}`"
    if "const" in schema:
        return f"`{schema['const']}`"
    if "enum" in schema:
        return " or ".join(f"`{value}`" for value in schema["enum"])
    if "anyOf" in schema:
        return " or ".join(dict.fromkeys(words(option) for option in schema["anyOf"]))
    kind = {"null": "none"}.get(schema["type"], schema["type"])
    if kind == "array":
        return f"list of {words(schema['items'])}"
    if kind == "object":
        return f"map to {words(schema['additionalProperties'])}"
    above, below = schema.get("exclusiveMinimum"), schema.get("exclusiveMaximum")
    least, most = schema.get("minimum"), schema.get("maximum")
    bounds = [(">", above), ("≥", least), ("<", below), ("≤", most)]
    told = " and ".join(f"{sign} {value:g}" for sign, value in bounds if value is not None)
    return f"{kind}, {told}" if told else str(kind)


def settings_page() -> str:
    """Every key, from the schema and the comments of the shipped file."""
    schema = settings.json_schema()["$defs"]
    comments = _comments(SHIPPED_SETTINGS.read_text(encoding="utf-8"))
    lines = [
        "# Settings",
        "",
        "The file of the service is `/etc/edgeser/edgeser.toml`. A variable "
        "`EDGESER_<SECTION>_<KEY>` wins over the file, a flag of the command over both, and "
        "`edgeser settings check FILE` says whether a file would be accepted. For editors there is "
        "a {download}`JSON Schema <../settings.schema.json>`.",
    ]
    for section, described in schema["Settings"]["properties"].items():
        if section == "source":
            continue
        struct = schema[described["$ref"].rsplit("/", 1)[1]]
        lines += ["", f"## {section}", "", struct["description"], ""]
        if section == "audio":
            lines += ["A list of tables `[[source]]` with the same keys takes its place.", ""]
        lines += ["| key | type | default | |", "|---|---|---|---|"]
        for key, kind in struct["properties"].items():
            default = kind.get("default")
            shown = "" if default is None else f"`{default!r}`".replace("'", '"')
            shown = {"`True`": "`true`", "`False`": "`false`"}.get(shown, shown)
            cells = (f"`{key}`", words(kind), shown, comments[section, key])
            lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def _comments(text: str) -> dict[tuple[str, str], str]:
    """The comment above each key of the shipped file, in Markdown, by section and key."""
    found: dict[tuple[str, str], str] = {}
    section = ""
    above: list[str] = []
    for line in text.splitlines():
        key = re.match(r"(?:# )?([a-z_]+) = ", line)
        if line.startswith("["):
            section, above = line.strip("[]"), []
        elif key and section:
            found.setdefault((section, key[1]), " ".join(above))
            above = []
        elif line.startswith("# ") and not line.startswith("# [["):
            above.append(_escaped(line[2:]))
        else:
            above = []
    return found


def commands_page() -> str:
    """Every command with its options."""
    context = click.Context(main, info_name="edgeser")
    lines = ["# Commands", "", "What `edgeser COMMAND --help` says."]
    for command, within in leaves(main, context):
        if not command.hidden:
            lines += ["", *_command(command, within)]
    return "\n".join(lines) + "\n"


def _command(command: click.Command, context: click.Context) -> Iterator[str]:
    path = context.command_path
    yield f"{'#' * min(3, len(path.split()))} {path}"
    yield ""
    yield from ("```text", " ".join([path, *command.collect_usage_pieces(context)]), "```", "")
    for paragraph in inspect.cleandoc(command.help or "").split("\n\n"):
        lines = paragraph.splitlines()
        if lines[:1] == ["\b"]:
            yield from ("```text", *(line.removeprefix("\b") for line in lines[1:]), "```", "")
        else:
            yield from (_escaped(" ".join(lines)), "")
    records = [parameter.get_help_record(context) for parameter in command.get_params(context)]
    rows = [record for record in records if record is not None and "--help" not in record[0]]
    if rows:
        yield from ("| option | |", "|---|---|")
        for option, text in rows:
            yield f"| `{_cell(option)}` | {_escaped(' '.join(text.split()))} |"


def python_page() -> str:
    """The public names, from their docstrings and types."""
    struct_of = events.json_schema()["$defs"]
    assert isinstance(struct_of, dict)
    lines = [
        "# Python",
        "",
        f"Of edgeser {edgeser.__version__}. [The library](../library.md) introduces it with "
        "examples; names that are not on this page may move.",
        "",
        "## edgeser",
        "",
    ]
    for name in ("Subscriber", "Live", "Recognizer", "load_model", "load_settings", "decode"):
        kind = "class" if name[0].isupper() else "function"
        members = "" if kind == "function" else "   :members:\n   :special-members: __init__\n"
        lines += [_rst(f".. auto{kind}:: edgeser.{name}\n{members}"), ""]
    lines += [_rst(".. autoclass:: edgeser.Model\n   :members: verify\n"), ""]
    lines += [_rst(".. autoclass:: edgeser.Voice\n   :members: to_json, from_json\n"), ""]
    for name in ("Settings", "Position"):
        lines += [_rst(f".. autoclass:: edgeser.{name}\n"), ""]
    lines += [_rst(".. autoexception:: edgeser.UserError\n"), ""]
    lines += ["## Events", "", "Immutable; [Events](../events.md) has an example of each.", ""]
    for name, struct in struct_of.items():
        where = "edgeser" if hasattr(edgeser, name) else "edgeser.events.schema"
        lines += [_rst(f".. py:class:: {where}.{name}\n\n   {struct.get('description', '')}\n"), ""]
        lines += ["| field | type | |", "|---|---|---|"]
        for field, kind in struct["properties"].items():
            text = kind.get("description", "")
            lines.append(f"| `{field}` | {words(kind)} | {_escaped(text)} |")
        lines.append("")
    lines += ["## Annotations", "", "Unions, for the types of your own functions.", ""]
    for name, text in UNIONS.items():
        lines += [_rst(f".. py:data:: edgeser.{name}\n\n   {text}\n"), ""]
    lines += ["## edgeser_train.experiments", ""]
    lines += [_rst(".. automodule:: edgeser_train.experiments\n   :members:\n"), ""]
    for name in ("folds.Plan", "report.Report"):
        lines += [_rst(f".. autoclass:: edgeser_train.evaluation.{name}\n   :members:\n"), ""]
    return "\n".join(lines)


def _rst(directive: str) -> str:
    return f"```{{eval-rst}}\n{directive}```"


def _escaped(text: str) -> str:
    """Text escaped for Markdown, except code in backticks."""
    parts = re.split(r"(`[^`]*`)", text)
    shown = [re.sub(r"([\\*_<>\[\]#|])", r"\\\1", part) for part in parts[::2]]
    parts[::2] = shown
    return "".join(_cell(part) if part.startswith("`") else part for part in parts)


def _cell(text: str) -> str:
    return text.replace("|", r"\|")
