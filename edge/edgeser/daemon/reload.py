"""Reload: new settings and a new model take over from the old, without a restart."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from functools import partial
from typing import Protocol

from edgeser.daemon.intake import Intake
from edgeser.decider import Decider
from edgeser.errors import UserError
from edgeser.events.schema import FaultCode
from edgeser.model.model import Model
from edgeser.settings.schema import Settings
from edgeser.speech.config import segmenter_config
from edgeser.speech.voice import voice_network

log = logging.getLogger(__name__)

Load = Callable[[], tuple[Settings, Model]]
"""Settings and model as they are now. Raises UserError."""

_AT_START_ONLY = ("audio", "source", "events", "journal", "baseline", "metrics")
"""Sections of the settings that take effect when the daemon starts."""


class TellFault(Protocol):
    """Publishes a fault of the whole daemon."""

    def __call__(self, code: FaultCode, message: str, *, recovered: bool) -> None: ...


class Reload:
    """Holds the model in use and the settings of the start, and applies new ones.

    For one thread.
    """

    def __init__(
        self,
        settings: Settings,
        model: Model,
        load: Load | None,
        intakes: Mapping[str, Intake],
        deciders: Mapping[str, Decider],
        reload_keys: Callable[[], None],
        tell: TellFault,
    ) -> None:
        self._started_with = settings
        self._model = model
        self._load = load
        self._intakes = intakes
        self._deciders = deciders
        self._reload_keys = reload_keys
        self._tell = tell

    def carry_out(self) -> None:
        """Put new settings, keys and the model in force; keep the old ones when they are wrong."""
        if self._load is None:
            return
        try:
            settings, model = self._load()
            segmenter_config(settings.speech, model.info.window)
            if settings.speech.confirm:
                voice_network()  # raises here rather than later in a source's thread
            self._reload_keys()
        except Exception as error:  # a running daemon must survive whatever it reads
            name = "" if isinstance(error, UserError) else f"{type(error).__name__}: "
            message = " ".join(f"the old settings stay: {name}{error}".split())
            self._tell("settings_rejected", message, recovered=True)
            return
        self.say_if_fallen_back(model)
        if _identity(model) == _identity(self._model):
            model = self._model
        for name, intake in self._intakes.items():
            began = partial(self._deciders[name].renew, settings.decision)
            intake.renew(model, settings.speech, began)
        self._say_what_waits(settings)
        self._model = model
        log.info(
            "settings reloaded; %s %s on %s",
            model.info.name,
            model.info.version,
            model.backend.name,
        )

    def say_if_fallen_back(self, model: Model | None = None) -> None:
        """Publish a fault if the model does not run on the backend that was asked for."""
        model = model or self._model
        if model.fell_back:
            message = f"{model.backend.name} runs the model, not tensorrt: {model.reason}"
            self._tell("backend_fell_back", message, recovered=True)

    def _say_what_waits(self, settings: Settings) -> None:
        later = [
            section
            for section in _AT_START_ONLY
            if getattr(settings, section) != getattr(self._started_with, section)
        ]
        if later:
            self._tell(
                "restart_needed",
                f"what is new in {', '.join(later)} takes effect when the daemon starts again",
                recovered=True,
            )


def _identity(model: Model) -> tuple[object, ...]:
    """Equal for models that give the same scores and status."""
    return model.ref, model.backend.name, model.reason, model.labels
