"""The interface of every model's configuration."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from msgspec.structs import StructConfig
    from typing_extensions import Self


class ModelConfig:
    """The architecture as data, to be mixed into a frozen ``msgspec.Struct``.

    Its fields have defaults, ``labels`` is one of them, and its tag is the model's name::

        class TinyConfig(
            msgspec.Struct, ModelConfig, frozen=True, forbid_unknown_fields=True,
            tag_field="name", tag="tiny",
        ):
            labels: int = 4
    """

    __slots__ = ()

    if TYPE_CHECKING:
        labels: int
        __struct_config__: StructConfig

        def __init__(self, *, labels: int = 4) -> None: ...

    @property
    def width(self) -> int:
        """Features per frame that the network takes."""
        raise NotImplementedError

    def for_labels(self, labels: int) -> Self:
        """The same configuration with so many labels."""
        return msgspec.structs.replace(self, labels=labels)  # type: ignore[type-var]  # a Struct

    @property
    def name(self) -> str:
        """The model's name."""
        return str(self.__struct_config__.tag)
