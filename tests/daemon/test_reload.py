"""What a reload says of settings that wait for a restart."""

from __future__ import annotations

from edgeser.daemon.reload import Reload
from edgeser.events.schema import FaultCode
from edgeser.model.model import load_model
from edgeser.settings.schema import MetricsSettings, Settings, SpeechSettings

MODEL = load_model()
STARTED = Settings()
WAITING = Settings(metrics=MetricsSettings(listen="127.0.0.1:9464"))
SPEECH = Settings(metrics=WAITING.metrics, speech=SpeechSettings(hop_seconds=1.0))


def test_it_says_what_waits_for_as_long_as_it_does() -> None:
    told: list[str] = []

    def tell(code: FaultCode, message: str, *, recovered: bool) -> None:
        told.append(f"{code}: {message}")

    read = iter([WAITING, WAITING, SPEECH, STARTED, STARTED])
    reload = Reload(STARTED, MODEL, lambda: (next(read), MODEL), {}, {}, lambda: None, tell)
    waits = "restart_needed: what is new in metrics takes effect when the daemon starts again"
    for expected in (1, 2, 3, 3, 3):
        reload.carry_out()
        assert told == [waits] * expected
