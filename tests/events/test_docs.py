"""docs/events.md and docs/events.schema.json say what the code does."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, get_args

import jsonschema
import msgspec
import pytest

from edgeser.events.schema import (
    FAULT_CODES,
    Event,
    FaultCode,
    SpeechEvent,
    decode,
    encode,
    json_schema,
)
from edgeser.events.sequence import Gap
from edgeser.events.wire.replay import ReplayEnd, ReplayRequest, read_request

from .helpers import emotion, fault, level, speech, status

DOCS = Path(__file__).parents[2] / "docs"
EXAMPLES = Path(__file__).parents[2] / "examples"
PAGE = (DOCS / "events.md").read_text(encoding="utf-8")
STRUCTS: dict[str, dict[str, Any]] = json_schema()["$defs"]
EVENTS = {"emotion": "EmotionEvent", "speech": "SpeechEvent"} | {
    "fault": "FaultEvent",
    "status": "StatusEvent",
    "level": "LevelEvent",
}
EXAMPLE_EVENTS = [emotion(), emotion(kind="partial"), speech(), fault(), status(), level()]
COMMON = ("type", "v", "stream", "epoch", "seq", "time")


def words(schema: dict[str, Any]) -> str:
    """A field's type, as the page says it."""
    if "$ref" in schema:
        name = schema["$ref"].rsplit("/", 1)[1]
        return f"[{name}](#{name.lower()})"
    if "enum" in schema:
        return " or ".join(f"`{value}`" for value in schema["enum"])
    if "anyOf" in schema:
        return " or ".join(words(option) for option in schema["anyOf"])
    kind: str = schema["type"]
    if kind == "array":
        return f"list of {words(schema['items'])}"
    if kind == "object":
        return f"map to {words(schema['additionalProperties'])}"
    if "maximum" in schema:
        return f"{kind} {schema['minimum']} to {schema['maximum']}"
    return f"{kind} ≥ {schema['minimum']}" if "minimum" in schema else kind


def section(title: str) -> str:
    """The text under a heading, without that of the headings below it."""
    found = re.search(rf"^##+ {re.escape(title)}\n(.*?)(?=^##|\Z)", PAGE, re.M | re.S)
    assert found, f"no heading '{title}'"
    return found[1]


def table(title: str, header: str) -> dict[str, list[str]]:
    """The rows of a section's table that begins with ``header``, by their first cell."""
    lines = section(title).splitlines()
    rows: dict[str, list[str]] = {}
    for line in lines[lines.index(header) + 2 :]:
        if not line.startswith("|"):
            break
        cells = [cell.strip() for cell in line.strip("|").split(" | ")]
        rows[cells[0].strip("`")] = cells[1:]
    return rows


def fields(title: str) -> dict[str, str]:
    return {name: row[0] for name, row in table(title, "| field | type | meaning |").items()}


@pytest.mark.parametrize("name", STRUCTS)
def test_every_field_is_in_the_tables_with_its_type(name: str) -> None:
    properties = STRUCTS[name]["properties"]
    expected = {field: words(schema) for field, schema in properties.items()}
    if name.endswith("Event"):
        common = fields("Every event")
        assert {field: expected[field] for field in COMMON} == common | {"type": expected["type"]}
        expected = {field: kind for field, kind in expected.items() if field not in COMMON}
        name = next(title for title, struct in EVENTS.items() if struct == name)
    assert fields(name) == expected
    assert list(fields(name)) == list(expected), "in the order of the code"


@pytest.mark.parametrize(("struct", "header"), [(ReplayRequest, 0), (ReplayEnd, 1)])
def test_replay_is_in_the_tables(struct: type[msgspec.Struct], header: int) -> None:
    lines = section("Replay").splitlines()
    starts = [i for i, line in enumerate(lines) if line == "| field | type | meaning |"]
    rows = [line.split("`")[1] for line in lines[starts[header] + 2 :] if line.startswith("| `")]
    names = list(struct.__struct_fields__)
    assert rows[: len(names)] == names


def test_the_examples_of_replay_are_valid() -> None:
    request, end = re.findall(r"```json\n(.*?)```", section("Replay"), re.S)
    read_request(request.encode())
    found = msgspec.json.decode(end, type=ReplayEnd)
    assert msgspec.json.decode(msgspec.json.encode(found)) == json.loads(end)


def test_every_fault_code_is_in_the_table() -> None:
    listed = table("fault", "| code | meaning |")
    assert {code: cells[0] for code, cells in listed.items()} == FAULT_CODES
    assert tuple(FAULT_CODES) == get_args(FaultCode)


@pytest.mark.parametrize("title", EVENTS)
def test_every_event_has_an_example_that_is_complete_and_valid(title: str) -> None:
    found = re.search(r"```json\n(.*?)```", section(title), re.S)
    assert found
    example = json.loads(found[1])
    assert example["type"] == title
    assert list(example) == list(STRUCTS[EVENTS[title]]["properties"])
    jsonschema.validate(example, json_schema())
    assert json.loads(encode(decode(found[1].encode()))) == example


def test_the_example_of_a_gap_is_valid() -> None:
    found = re.search(r"```json\n(.*?)```", section("Gap"), re.S)
    assert found
    jsonschema.validate(json.loads(found[1]), json_schema())
    assert msgspec.json.encode(msgspec.json.decode(found[1], type=Gap)) == msgspec.json.encode(
        json.loads(found[1])
    )


@pytest.mark.parametrize("event", EXAMPLE_EVENTS)
def test_events_fit_the_schema(event: Event) -> None:
    jsonschema.validate(json.loads(encode(event)), json_schema())


def test_ajv_compiles_the_schema_and_takes_the_events() -> None:
    node = shutil.which("node")
    assert node, "node is missing: 'make test' sets it up"
    assert (EXAMPLES / "node_modules" / "ajv").is_dir(), "npm install --prefix examples"
    told = [json.loads(encode(event)) for event in EXAMPLE_EVENTS]
    told.append(json.loads(msgspec.json.encode(Gap("emotion.mic", "e1", 5, 7))))
    short = [{key: event[key] for key in event if key != "seq"} for event in told[:-1]]
    code = """
        const Ajv = require("ajv/dist/2020");
        const [schema, ...events] = JSON.parse(require("fs").readFileSync(0));
        console.log(JSON.stringify(events.map(new Ajv({strict: true}).compile(schema))));
    """
    done = subprocess.run(
        [node, "-e", code],
        input=json.dumps([json_schema(), *told, *short]),
        cwd=EXAMPLES,
        capture_output=True,
        text=True,
    )
    assert done.stderr == ""
    assert json.loads(done.stdout) == [True] * len(told) + [False] * len(short)


def test_an_older_end_of_speech_has_a_final() -> None:
    old = encode(speech(end=2.0)).replace(b',"has_final":true', b"")
    assert b"has_final" not in old
    event = decode(old)
    assert isinstance(event, SpeechEvent)
    assert event.has_final


def test_the_schema_file_is_the_code_s() -> None:
    written = (DOCS / "events.schema.json").read_text(encoding="utf-8")
    command = [sys.executable, "-m", "edgeser.events.schema"]
    printed = subprocess.run(command, capture_output=True, text=True, check=True)
    assert printed.stderr == ""
    assert printed.stdout == written, "python -m edgeser.events.schema > docs/events.schema.json"
    jsonschema.Draft202012Validator.check_schema(json.loads(written))


@pytest.mark.parametrize(
    ("language", "file"), [("python", "subscribe.py"), ("js", "subscribe.mjs")]
)
def test_the_code_shown_is_that_of_the_examples(language: str, file: str) -> None:
    shown = re.findall(rf"```{language}\n(.*?)```", section("Subscribe"), re.S)[-1]
    assert shown in (EXAMPLES / file).read_text(encoding="utf-8")


def test_links_lead_somewhere() -> None:
    headings = {title.lower().replace(" ", "-") for title in re.findall(r"^##+ (.+)$", PAGE, re.M)}
    for target in re.findall(r"\]\(([^)]+)\)", PAGE):
        if target.startswith("#"):
            assert target[1:] in headings
        elif not target.startswith("https:"):
            assert (DOCS / target.partition("#")[0]).exists(), target
