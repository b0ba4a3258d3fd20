"""The inference worker, whatever the model answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from edgeser.daemon.backlog import Backlog
from edgeser.daemon.inference import Inference
from edgeser.daemon.reporter import StreamReporter
from edgeser.decider import Decider
from edgeser.events.schema import EmotionEvent, Event, FaultEvent
from edgeser.losses import Losses
from edgeser.model.model import Model
from edgeser.model.network import Answer, Speech
from edgeser.settings.schema import DecisionSettings
from tests.test_decider import MODEL, WINDOW


class Overflowing(Model):
    """Its network overflows in the first window of every batch, as fp16 may on a GPU."""

    def answers(self, windows: Sequence[Speech]) -> list[Answer]:
        first, *others = super().answers(windows)
        return [first._replace(logits=first.logits * np.float32(np.nan)), *others]


def test_a_window_whose_logits_are_no_numbers_is_a_fault_and_spoils_no_other() -> None:
    backlog, losses = Backlog(), Losses()
    events: list[Event] = []
    reporter = StreamReporter("test", losses, events.append)
    deciders = {"test": Decider(DecisionSettings(), losses)}
    model = Overflowing(MODEL.artefact, MODEL.backend)
    for segment in (1, 2):
        backlog.put(replace(WINDOW, model=model, segment=segment))
    backlog.close()
    Inference(backlog, deciders, {"test": reporter}, lambda event, _: events.append(event)).run()
    reporter.report_failures()
    scored, fault = events
    assert isinstance(scored, EmotionEvent)
    assert scored.segment == 2
    assert np.isfinite([*scored.scores.values()]).all()
    assert isinstance(fault, FaultEvent)
    assert fault.code == "inference_failed"
    assert "1 windows without scores, final: " in fault.message
