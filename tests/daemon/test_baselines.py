"""What streams learn is brought to the disk, and what was changed there to them."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from edgeser.baselines.store import BaselineStore
from edgeser.daemon import baselines as module
from edgeser.decider import Decider
from edgeser.features.baseline import Baseline
from edgeser.losses import Losses
from edgeser.model.centring import LogitBaseline
from edgeser.model.model import Model, load_model
from edgeser.settings.schema import DecisionSettings
from tests.baselines.learner import FRONT_END
from tests.daemon.voices import TALK, exchange, hear, keeper_of, known, new_intake
from tests.disks import filled
from tests.sounds import silence


def test_what_was_learned_is_there_after_a_restart(model: Model, store: BaselineStore) -> None:
    first = new_intake(model)
    keeper = keeper_of(store, first)
    keeper.sync()
    hear(first, TALK)
    keeper.sync(ending=True)
    keeper.close()
    second = new_intake(model)
    keeper_of(store, second).sync()
    hear(second, silence(0.1))
    assert second.hearing.baseline.frames == first.hearing.baseline.frames > 0
    np.testing.assert_allclose(second.hearing.baseline.mean, first.hearing.baseline.mean, atol=1e-4)


def test_nothing_learned_is_nothing_kept(model: Model, store: BaselineStore) -> None:
    intake = new_intake(model)
    hear(intake, silence(3.0))
    keeper_of(store, intake).sync(ending=True)
    assert list(store.streams()) == []


def test_what_somebody_else_kept_wins(model: Model, store: BaselineStore) -> None:
    intake, decider = new_intake(model), Decider(DecisionSettings(), Losses())
    keeper = keeper_of(store, intake, decider)
    keeper.sync()
    hear(intake, TALK)
    keeper.sync()
    store.save("mic", FRONT_END, known(-33.0), enrolled=True)
    keeper.sync(ending=True)
    decider._adopt()
    keeper.sync(ending=True)  # the stream has not taken it over yet
    hear(intake, silence(0.1))
    np.testing.assert_array_equal(intake.hearing.baseline.mean, known(-33.0).mean)
    keeper.sync(ending=True)  # nothing was learned since
    kept = store.read("mic")
    assert kept is not None
    assert kept.enrolled


@pytest.mark.parametrize("other", [None, "moonshine6"])
def test_what_somebody_removed_is_forgotten(
    model: Model, store: BaselineStore, other: str | None
) -> None:
    intake, decider = new_intake(model), Decider(DecisionSettings(), Losses())
    keeper = keeper_of(store, intake, decider)
    hear(intake, TALK)
    keeper.sync()
    if other is not None:  # it takes over before all that was learned is kept
        hear(intake, TALK)
        exchange(intake, load_model(other))
    store.remove("mic")
    keeper.sync()
    hear(intake, silence(0.1))
    assert intake.hearing.baseline.frames == 0
    decider._adopt()
    keeper.sync(ending=True)
    assert list(store.streams()) == []


def test_a_second_daemon_leaves_the_voice_of_the_first_alone_until_that_has_ended(
    model: Model, store: BaselineStore, caplog: pytest.LogCaptureFixture
) -> None:
    first, second = new_intake(model), new_intake(model)
    keeper, other = keeper_of(store, first), keeper_of(store, second)
    keeper.sync()
    hear(first, TALK)
    keeper.sync()
    written = store.version("mic")
    hear(second, np.concatenate((TALK, TALK)))
    learned = second.hearing.baseline
    for _ in range(3):
        other.sync(ending=True)
    hear(second, silence(0.1))
    assert second.hearing.baseline is learned
    (said,) = [r.message for r in caplog.records]
    assert f"{store.file('mic')} is kept by pid {os.getpid()}" in said
    store.save("mic", FRONT_END, known(-33.0), enrolled=True)  # as 'edgeser baseline' does beside
    keeper.sync(ending=True)
    assert store.version("mic") != written
    keeper.close()
    other.sync()
    hear(second, silence(0.1))
    np.testing.assert_array_equal(second.hearing.baseline.mean, known(-33.0).mean)


def test_a_voice_that_cannot_be_locked_is_read_and_not_written(
    model: Model, store: BaselineStore, caplog: pytest.LogCaptureFixture
) -> None:
    store.save("mic", FRONT_END, known(-33.0), enrolled=True)
    store.file("mic").with_suffix(".lock").mkdir()  # even root cannot open it
    intake, decider = new_intake(model), Decider(DecisionSettings(), Losses())
    keeper = keeper_of(store, intake, decider)
    keeper.sync()
    hear(intake, silence(0.1))
    np.testing.assert_array_equal(intake.hearing.baseline.mean, known(-33.0).mean)
    assert caplog.messages == []
    decider._adopt()
    hear(intake, TALK)
    written = store.version("mic")
    keeper.sync(ending=True)
    assert "is not kept: [Errno 21] Is a directory" in caplog.messages[0]
    assert store.version("mic") == written


def test_a_full_disk_is_said_when_there_is_something_to_keep(
    model: Model, small_disk: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store, intake = BaselineStore(small_disk / "baselines"), new_intake(model)
    keeper = keeper_of(store, intake)
    filler = filled(small_disk)
    keeper.sync()
    assert caplog.messages == []
    hear(intake, TALK)
    for _ in range(3):
        keeper.sync()
    (said,) = caplog.messages
    assert "is not kept: [Errno 28] No space left on device" in said
    filler.unlink()
    keeper.sync()
    assert store.load("mic", FRONT_END) is not None


def test_a_file_that_cannot_be_replaced_is_said_once(
    model: Model, store: BaselineStore, caplog: pytest.LogCaptureFixture
) -> None:
    intake = new_intake(model)
    keeper = keeper_of(store, intake)
    hear(intake, TALK)
    keeper.sync()
    store.file("mic").unlink()
    store.file("mic").mkdir()
    keeper.sync()
    hear(intake, TALK)
    for _ in range(3):
        keeper.sync(ending=True)
    said = [message for message in caplog.messages if "[Errno 21] Is a directory" in message]
    assert len(said) == 1


def test_daemons_with_streams_of_different_names_share_a_folder(
    model: Model, store: BaselineStore
) -> None:
    intakes = [new_intake(model, name) for name in ("kitchen", "hall")]
    for intake in intakes:
        hear(intake, TALK)
        keeper_of(store, intake).sync(ending=True)
    assert list(store.streams()) == ["hall", "kitchen"]


def test_it_is_written_now_and_then_not_at_every_turn(
    model: Model, store: BaselineStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [100.0]
    monkeypatch.setattr("edgeser.daemon.baselines.time.monotonic", lambda: now[0])
    intake = new_intake(model)
    keeper = keeper_of(store, intake)
    hear(intake, TALK)
    keeper.sync()
    written = store.version("mic")
    hear(intake, TALK)
    now[0] += module.SAVE_INTERVAL_S - 1
    keeper.sync()
    assert store.version("mic") == written
    now[0] += 1
    keeper.sync()
    assert store.version("mic") != written


@pytest.mark.parametrize("bands", [0, 3])
def test_a_damaged_file_is_said_once_and_replaced(
    model: Model, store: BaselineStore, caplog: pytest.LogCaptureFixture, bands: int
) -> None:
    intake = new_intake(model)
    keeper = keeper_of(store, intake)
    hear(intake, TALK)
    keeper.sync()
    if bands:
        store.save("mic", FRONT_END, Baseline(np.zeros(bands, np.float32), 1000))
    else:
        store.file("mic").write_text("nonsense")
    for _ in range(3):
        keeper.sync(ending=True)
    kept = store.load("mic", FRONT_END)
    assert kept is not None
    assert kept.frames == intake.hearing.baseline.frames
    (said,) = caplog.messages
    assert "damaged" in said


def test_a_folder_that_cannot_be_made_is_said_once(
    model: Model, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("")
    intake = new_intake(model)
    keeper = keeper_of(BaselineStore(tmp_path / "file" / "baselines"), intake)
    hear(intake, TALK)
    for _ in range(3):
        keeper.sync(ending=True)
    assert len([r for r in caplog.records if "not kept" in r.message]) == 1


def test_what_a_model_usually_says_is_kept_and_forgotten_with_it(
    model: Model, store: BaselineStore
) -> None:
    usual = LogitBaseline(model.ref.sha256, Baseline(np.array([1.0, 0.5, -2.0], np.float32), 700))
    intake, decider = new_intake(model), Decider(DecisionSettings(), Losses())
    decider._known[usual.model] = usual
    hear(intake, TALK)
    keeper = keeper_of(store, intake, decider)
    keeper.sync(ending=True)
    written = store.version("mic")
    keeper.sync(ending=True)
    assert store.version("mic") == written  # nothing was learned since
    keeper.close()
    after, second = new_intake(model), Decider(DecisionSettings(), Losses())
    keeper = keeper_of(store, after, second)
    keeper.sync()
    second._adopt()
    kept = second.logit_baseline(usual.model)
    assert kept is not None
    assert (kept.model, kept.logits.frames) == (usual.model, 700)
    np.testing.assert_array_equal(kept.logits.mean, usual.logits.mean)
    store.remove("mic")
    keeper.sync(ending=True)
    read = store.read("mic")
    assert read is None or read.logit_baseline is None


def test_nothing_is_kept_of_a_voice_before_a_segment_has_ended(
    model: Model, store: BaselineStore
) -> None:
    intake, decider = new_intake(model), Decider(DecisionSettings(), Losses())
    said = LogitBaseline(model.ref.sha256, Baseline(np.zeros(3, np.float32), 0))
    decider._known[said.model] = said  # as a partial does it
    keeper = keeper_of(store, intake, decider)
    keeper.sync()
    assert store.read("mic") is None
    hear(intake, TALK)
    keeper.sync()
    assert store.load("mic", FRONT_END) is not None
