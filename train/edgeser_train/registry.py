"""Models, recipes, corpora, losses and protocols by name: ours, and those of other packages.

A package adds one by an entry point (https://packaging.python.org/specifications/entry-points)
in one of the groups ``edgeser.models``, ``edgeser.recipes``, ``edgeser.corpora``,
``edgeser.losses``, ``edgeser.protocols``.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping
from functools import cached_property
from importlib.metadata import EntryPoint, entry_points
from typing import Generic, TypeVar, cast

from edgeser.errors import UserError

T = TypeVar("T")


_USED: dict[str, str] = {}


def packages() -> dict[str, str]:
    """Versions of the other packages from which this process has used an entry, by package."""
    return dict(sorted(_USED.items()))


class Registry(Mapping[str, T], Generic[T]):
    """Objects by name, ours first. Names are known without importing anything.

    A value is imported on first access: an entry point, or one of ours that is given as
    "module:attribute".
    """

    def __init__(
        self,
        kind: str,
        group: str,
        own: Mapping[str, T | str],
        wanted: type | str,
        *,
        classes: bool = False,
    ) -> None:
        """``kind``: what messages call such an object; ``group``: of the entry points. ``wanted``:
        what an object of another package must be an instance of, or with ``classes`` a subclass
        of; may be "module:attribute", too.
        """
        self.kind = kind
        self.group = group
        self._own = own
        self._wanted = wanted
        self._classes = classes
        self._loaded: dict[str, T] = {}

    def __getitem__(self, name: str) -> T:
        """Raises KeyError for an unknown name, UserError for one that cannot be imported, or is
        not of this kind.
        """
        if name not in self._loaded:
            self._loaded[name] = self._load(name)
        return self._loaded[name]

    def __iter__(self) -> Iterator[str]:
        yield from self._own
        yield from sorted(self._others)

    def __len__(self) -> int:
        return len(self._own) + len(self._others)

    def __contains__(self, name: object) -> bool:
        return name in self._others or name in self._own  # _others first: it raises for a clash

    def named(self, name: str, where: str) -> T:
        """As ``[name]``, but UserError for an unknown name; its message begins with ``where``."""
        if name not in self:
            raise UserError(f"{where}: no {self.kind} '{name}'", f"there is {', '.join(self)}")
        found = self[name]
        if name not in self._own and (package := self._others[name].dist):
            _USED[package.name] = package.version
        return found

    @cached_property
    def _others(self) -> dict[str, EntryPoint]:
        found: dict[str, EntryPoint] = {}
        for point in entry_points(group=self.group):
            taken = found.get(point.name)
            if point.name in self._own or (taken is not None and taken.value != point.value):
                raise UserError(
                    f"{self.kind} '{point.name}': {_package(point)} brings one, and there is one "
                    "of that name already",
                    f"uninstall {_package(point)}, or give its {self.kind} another name",
                )
            found[point.name] = point
        return found

    def _load(self, name: str) -> T:
        if name in self._own:
            return cast(T, _imported(self._own[name]))
        point = self._others[name]
        where = f"{self.kind} '{name}' of {_package(point)} ({point.value})"
        fix = f"fix or uninstall {_package(point)}"
        try:
            found = point.load()
        except Exception as error:
            raise UserError(f"{where}: {type(error).__name__}: {error}", fix) from error
        wanted = cast(type, _imported(self._wanted))
        if self._classes and not (isinstance(found, type) and issubclass(found, wanted)):
            raise UserError(f"{where}: {_what(found)}, no subclass of {wanted.__name__}", fix)
        if not self._classes and not isinstance(found, wanted):
            raise UserError(f"{where}: {_what(found)}, no {wanted.__name__}", fix)
        return cast(T, found)


def _imported(value: object) -> object:
    """The object that "module:attribute" names; anything else unchanged."""
    if not isinstance(value, str):
        return value
    module, _, attribute = value.partition(":")
    return getattr(importlib.import_module(module), attribute)


def _what(found: object) -> str:
    return f"class {found.__name__}" if isinstance(found, type) else f"a {type(found).__name__}"


def _package(point: EntryPoint) -> str:
    return point.dist.name if point.dist else "a package"
