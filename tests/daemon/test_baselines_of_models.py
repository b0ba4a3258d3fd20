"""What a stream learnt of a voice is there for its model, whichever was in force meanwhile."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edgeser.baselines.store import BaselineStore, fingerprint
from edgeser.decider import Decider
from edgeser.features.baseline import Baseline
from edgeser.losses import Losses
from edgeser.model.centring import LogitBaseline
from edgeser.model.model import Model, load_model
from edgeser.settings.schema import DecisionSettings, SpeechSettings
from tests.baselines.learner import FRONT_END
from tests.daemon.voices import TALK, exchange, hear, keeper_of, known, new_intake
from tests.model.artefacts import changed
from tests.sounds import silence


@pytest.mark.parametrize("other", ["moonshine6", "lightweight-emodb"])
def test_what_is_known_is_there_again_after_another_model(
    model: Model, store: BaselineStore, other: str
) -> None:
    intake, decider = new_intake(model), Decider(DecisionSettings(), Losses())
    keeper = keeper_of(store, intake, decider)
    store.save("mic", FRONT_END, known(-33.0), enrolled=True)
    keeper.sync()
    decider._adopt()
    written = store.version("mic")
    exchange(intake, load_model(other))
    keeper.sync(ending=True)
    assert store.version("mic") == written  # nothing was learned yet
    hear(intake, TALK)
    keeper.sync(ending=True)
    exchange(intake, model)
    keeper.sync()
    hear(intake, silence(0.1))
    np.testing.assert_array_equal(intake.hearing.baseline.mean, known(-33.0).mean)


def test_a_voice_may_be_made_known_before_its_model_is_in_force(
    model: Model, store: BaselineStore
) -> None:
    other = load_model("moonshine6")
    intake, decider = new_intake(model), Decider(DecisionSettings(), Losses())
    keeper = keeper_of(store, intake, decider)
    keeper.sync()
    usual = LogitBaseline(other.ref.sha256, Baseline(np.ones(6, np.float32), 700))
    front_end = other.info.front_end
    nothing = Baseline(np.zeros(front_end.bins, np.float32), 700)
    store.save("mic", front_end, nothing, usual, enrolled=True)
    keeper.sync()
    exchange(intake, other)
    keeper.sync()
    hear(intake, silence(0.1))
    assert intake.hearing.baseline.frames == 700
    decider._adopt()
    keeper.sync(ending=True)
    kept = store.read("mic")
    assert kept is not None
    assert kept.enrolled


def test_what_waits_to_be_adopted_means_nothing_to_another_model(
    model: Model, store: BaselineStore
) -> None:
    intake = new_intake(model)
    intake.adopt({fingerprint(FRONT_END): known(-33.0)})
    intake.hearing = intake.hearing.successor(load_model("moonshine6"), SpeechSettings())
    hear(intake, TALK)
    assert intake.hearing.baseline.mean.shape == (320,)


def test_another_model_costs_nothing_of_what_was_learned_last(
    model: Model, store: BaselineStore
) -> None:
    intake = new_intake(model)
    keeper = keeper_of(store, intake)
    hear(intake, TALK)
    keeper.sync()
    hear(intake, TALK)
    learned = intake.hearing.baseline
    exchange(intake, load_model("moonshine6"))
    keeper.sync()
    kept = store.load("mic", FRONT_END)
    assert kept is not None
    assert kept.frames == learned.frames
    exchange(intake, model)
    assert intake.hearing.baseline is learned


def test_a_version_that_is_tried_costs_nothing_of_what_the_one_before_usually_says(
    model: Model, store: BaselineStore, tmp_path: Path
) -> None:
    newer = load_model(
        str(changed(model.artefact.path, tmp_path, lambda tree: tree.update(version="9")))
    )
    assert newer.info.front_end == model.info.front_end
    usual = LogitBaseline(model.ref.sha256, Baseline(np.ones(3, np.float32), 700))
    intake, decider = new_intake(model), Decider(DecisionSettings(), Losses())
    keeper = keeper_of(store, intake, decider)
    keeper.sync()
    hear(intake, TALK)
    decider._known[usual.model] = usual  # as a final does it
    exchange(intake, newer)  # before the next time at which it is saved
    hear(intake, TALK)
    keeper.sync(ending=True)
    keeper.close()
    again, second = new_intake(model), Decider(DecisionSettings(), Losses())
    keeper_of(store, again, second).sync()
    hear(again, silence(0.1))
    second._adopt()
    kept = second.logit_baseline(usual.model)
    assert kept is not None
    np.testing.assert_array_equal(kept.logits.mean, usual.logits.mean)
    assert again.hearing.baseline.frames == intake.hearing.baseline.frames


def test_a_model_that_takes_over_knows_the_voice_at_once(
    model: Model, store: BaselineStore
) -> None:
    store.save("mic", FRONT_END, known(-33.0))
    intake = new_intake(load_model("lightweight-emodb"))
    keeper_of(store, intake).sync()
    exchange(intake, model)
    np.testing.assert_array_equal(intake.hearing.baseline.mean, known(-33.0).mean)
