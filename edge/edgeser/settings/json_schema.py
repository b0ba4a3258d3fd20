"""The JSON Schema of the settings, for editors: ``python -m edgeser.settings.json_schema``.

Defaults that depend on the machine, endpoints and folders, are left out of it.
"""

from __future__ import annotations

import inspect
import json
from typing import Any

import msgspec

from edgeser.settings.schema import Settings

_OF_THE_MACHINE = {"EventSettings": "bind"}
"""Struct and field whose default differs from machine to machine."""


def json_schema() -> dict[str, Any]:
    """JSON Schema (draft 2020-12) of a settings file, as TOML tables map to JSON."""
    schema = msgspec.json.schema(Settings)
    for struct, field in _OF_THE_MACHINE.items():
        schema["$defs"][struct]["properties"][field].pop("default", None)
    for section in schema["$defs"]["Settings"]["properties"].values():
        section.pop("default", None)  # redundant: each key has its own
    for definition in schema["$defs"].values():  # from Python 3.13 on they are clean already
        if "description" in definition:
            definition["description"] = inspect.cleandoc(definition["description"])
    dialect = {"$schema": "https://json-schema.org/draft/2020-12/schema"}
    return dialect | {"title": "edgeser settings"} | schema


if __name__ == "__main__":
    print(json.dumps(json_schema(), indent=2))
