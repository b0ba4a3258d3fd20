"""Streams that learn a voice, and what keeps it."""

from __future__ import annotations

import numpy as np

from edgeser.audio.source import AudioBlock
from edgeser.baselines.store import BaselineStore
from edgeser.daemon.backlog import Backlog
from edgeser.daemon.baselines import BaselineKeeper
from edgeser.daemon.intake import Intake
from edgeser.daemon.reporter import StreamReporter
from edgeser.decider import Decider
from edgeser.features.baseline import Baseline
from edgeser.hearing import Hearing
from edgeser.losses import Losses
from edgeser.model.model import Model
from edgeser.pcm import Samples
from edgeser.settings.schema import DecisionSettings, SpeechSettings
from tests.daemon.test_intake import Played
from tests.sounds import silence, speech

TALK = np.concatenate((speech(), silence(1.0)))


def new_intake(model: Model, name: str = "mic") -> Intake:
    losses, backlog = Losses(), Backlog()
    hearing = Hearing(name, model, SpeechSettings(), losses)
    backlog.close()
    backlog.abandon()  # nobody works here: do not wait for it
    return Intake(Played(), hearing, StreamReporter(name, losses, lambda _: None), backlog)


def keeper_of(
    store: BaselineStore, intake: Intake, decider: Decider | None = None
) -> BaselineKeeper:
    decider = decider or Decider(DecisionSettings(), Losses())
    return BaselineKeeper(store, [intake], {intake.name: decider})


def hear(intake: Intake, sound: Samples) -> None:
    intake.hear(AudioBlock(sound, intake.hearing.position, 0.0))


def known(level_db: float) -> Baseline:
    return Baseline(np.full(40, level_db, np.float32), 1000)


def exchange(intake: Intake, model: Model) -> None:
    """As a reload does it."""
    intake.renew(model, SpeechSettings(), lambda _: None)
    hear(intake, silence(0.1))
