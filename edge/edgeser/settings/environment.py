"""The settings that ``EDGESER_<SECTION>_<KEY>`` in the environment give."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, get_origin

import msgspec

from edgeser.settings.schema import Settings, SettingsError

ENVIRONMENT_PREFIX = "EDGESER_"


def from_environment(environment: Mapping[str, str]) -> dict[str, object]:
    """``EDGESER_SPEECH_MIN_SECONDS=0.3`` means ``speech.min_seconds``; lists are comma-separated.

    A variable whose second word is not a section is ignored. Raises SettingsError.
    """
    found: dict[str, object] = {}
    for variable, section, key in _ours(environment):
        if section == "source":
            raise SettingsError(
                f"{variable}: [[source]] is a list, which only a file can give",
                "unset it; EDGESER_AUDIO_SOURCE and its like are for a single source",
            )
        if section in Settings.__struct_fields__ and not key:
            keys = _kind_of(section).__struct_fields__
            names = ", ".join(f"{variable}_{key.upper()}" for key in keys)
            raise SettingsError(f"{variable}: a section, no key; there are {names}")
        if section in Settings.__struct_fields__:
            text = environment[variable]
            found[f"{section}.{key}"] = _listed(text) if _is_list(section, key) else text
    return found


def unread_variables(environment: Mapping[str, str]) -> list[str]:
    """A line for each ignored variable that looks like a setting: a known key, an unknown section.

    Kubernetes' EDGESER_SERVICE_HOST and the like are not reported: they name no known key.
    """
    sections = [name for name in Settings.__struct_fields__ if name != "source"]
    keys = {key for section in sections for key in _kind_of(section).__struct_fields__}
    return [
        f"{variable}: not read; there is no section '{section}'"
        for variable, section, key in sorted(_ours(environment))
        if section not in Settings.__struct_fields__ and (key or section) in keys
    ]


def _ours(environment: Mapping[str, str]) -> Iterator[tuple[str, str, str]]:
    """Each variable with our prefix, and the section and the key that it names."""
    for variable in environment:
        if variable.startswith(ENVIRONMENT_PREFIX):
            section, _, key = variable.removeprefix(ENVIRONMENT_PREFIX).lower().partition("_")
            yield variable, section, key


def _kind_of(section: str) -> Any:
    return next(f.type for f in msgspec.structs.fields(Settings) if f.name == section)


def _is_list(section: str, key: str) -> bool:
    kinds = {field.name: field.type for field in msgspec.structs.fields(_kind_of(section))}
    return get_origin(kinds.get(key)) is list


def _listed(text: str) -> list[str]:
    return [part.strip() for part in text.split(",")] if text else []
