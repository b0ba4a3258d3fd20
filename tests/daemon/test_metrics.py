"""What operators are told of events that were not sent, and of sound at the wrong pace."""

from __future__ import annotations

from prometheus_client import generate_latest

from edgeser.daemon.backlog import Backlog
from edgeser.daemon.intake import Intake
from edgeser.daemon.metrics import Gauges, Metrics
from edgeser.daemon.reporter import StreamReporter
from edgeser.hearing import Hearing
from edgeser.losses import Losses
from edgeser.model.model import load_model
from edgeser.settings.schema import SpeechSettings
from tests.daemon.test_intake import Played


def told(gauges: Gauges, *, wrong_pace: bool = False) -> str:
    """The metrics of one stream."""
    losses = Losses()
    hearing = Hearing("played", load_model(), SpeechSettings(), losses)
    reporter = StreamReporter("played", losses, lambda event: None)
    intake = Intake(Played(), hearing, reporter, Backlog())
    intake.wrong_pace = wrong_pace
    return generate_latest(Metrics({"played": intake}, lambda: gauges).registry).decode()


def test_events_that_were_not_sent_are_counted_by_stream_and_type() -> None:
    metrics = told(Gauges(backlog=0, subscriptions=0, troubles=[], dropped={"status.played": 3}))
    for kind, count in (("emotion", 0.0), ("status", 3.0), ("level", 0.0)):
        assert f'edgeser_dropped_events_total{{stream="played",type="{kind}"}} {count}\n' in metrics


def test_sound_at_the_wrong_pace_shows_until_it_is_over() -> None:
    gauges = Gauges(backlog=0, subscriptions=0, troubles=[], dropped={})
    assert 'edgeser_wrong_pace{stream="played"} 0.0\n' in told(gauges)
    assert 'edgeser_wrong_pace{stream="played"} 1.0\n' in told(gauges, wrong_pace=True)
