"""One model trained on one part of a corpus."""

from __future__ import annotations

import shutil
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from edgeser.errors import UserError
from edgeser_train.corpora import load_corpus
from edgeser_train.corpora.emodb import load
from edgeser_train.data.frames import CorpusFrames, corpus_frames
from edgeser_train.data.protocols import Fold
from edgeser_train.training import training
from edgeser_train.training.batches import TrainingData, UtteranceDataset
from edgeser_train.training.classifier import Classifier
from edgeser_train.training.recipe import changed
from edgeser_train.training.states import AtomicCheckpointIO, LatestState
from edgeser_train.training.training import Trained, train
from tests.train.synthetic import TINY_RECIPE, make_manifest, training_data_of


def part(*indices: int) -> Fold:
    return Fold("part", indices, (), ())


def test_training_is_the_same_for_the_same_seed(emodb: Path, cache: Path, tmp_path: Path) -> None:
    data = training_data_of(emodb, cache)
    chosen = part(*range(100, 300))
    one, two, other = (
        train(data, chosen, tmp_path / str(i), seed=4, data_seed=data_seed)
        for i, data_seed in enumerate((4, 4, 5))
    )
    assert one.losses == pytest.approx(two.losses, rel=1e-3)
    assert one.losses != pytest.approx(other.losses, rel=1e-3)
    assert len(one.losses) == one.chosen_epoch == TINY_RECIPE.epochs
    assert one.validation == []
    features = [TINY_RECIPE.front_end.normalised(data.frames.of(i, 0)) for i in chosen.train]
    mean = np.concatenate(features).mean(axis=0)
    np.testing.assert_allclose(one.model.mean.numpy(), mean, atol=1e-3)


def test_a_filled_window_is_standardised_as_it_is_heard(
    emodb: Path, cache: Path, tmp_path: Path
) -> None:
    filled = ["window.cut=centre", "window.frames=40", "window.fill=true", "window.pad_frames=40"]
    recipe = changed(TINY_RECIPE, [*filled, "crop_frames=[]", "spectrogram=null", "epochs=1"])
    data = training_data_of(emodb, cache, recipe)
    chosen = part(*range(100, 120))
    model = train(data, chosen, tmp_path, seed=1, data_seed=1).model
    utterances = UtteranceDataset(data, chosen.train)
    heard = torch.cat([utterances[i][0].flatten(0, 1) for i in range(20)])
    assert len(heard) == 20 * 40
    torch.testing.assert_close(model.mean, heard.mean(dim=0), rtol=1e-4, atol=1e-3)
    torch.testing.assert_close(model.std, heard.std(dim=0, correction=0), rtol=1e-3, atol=1e-3)


def test_statistics_of_many_frames_are_exact(emodb: Path, tmp_path: Path) -> None:
    recipe = changed(TINY_RECIPE, ["front_end.normalise=none", "crop_frames=[8]", "epochs=1"])
    corpus = load(emodb)
    rows = np.full((300_000, 128), -70.1, np.float16)
    rows[::2] = -50.3
    ends = np.linspace(0, len(rows), 1 + len(corpus.utterances), dtype=np.int64)
    bounds = np.stack([ends[:-1], ends[1:]], axis=1)[:, None]
    data = TrainingData(corpus, CorpusFrames(rows, bounds), recipe)
    model = train(data, part(*range(339)), tmp_path, seed=1, data_seed=1).model
    low, high = float(np.float16(-70.1)), float(np.float16(-50.3))
    np.testing.assert_allclose(model.mean.numpy(), (low + high) / 2, rtol=1e-6)
    np.testing.assert_allclose(model.std.numpy(), (high - low) / 2, rtol=1e-6)


def test_validation_chooses_the_epoch_and_ends_the_training(
    emodb: Path, cache: Path, tmp_path: Path
) -> None:
    recipe = changed(TINY_RECIPE, ["epochs=12", "patience=2"])
    fold = Fold("03", tuple(range(60, 339)), tuple(range(60)), ())
    trained = train(training_data_of(emodb, cache, recipe), fold, tmp_path, seed=1, data_seed=1)
    assert len(trained.losses) == len(trained.validation) <= 12
    assert trained.validation[trained.chosen_epoch - 1] == max(trained.validation)
    since = trained.validation[trained.chosen_epoch :]
    assert len(since) <= 2 or len(trained.validation) == 12


@pytest.mark.parametrize("written", [False, True])
def test_a_training_killed_at_any_state_goes_on_to_the_same_end(
    written: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = changed(TINY_RECIPE, ["epochs=9", "patience=2", "batch=4", "ema_decay=0.5"])
    corpus = load_corpus(f"manifest={make_manifest(tmp_path)}")
    data = TrainingData(corpus, corpus_frames(corpus, recipe, tmp_path / "cache"), recipe)
    fold = Fold("a", tuple(range(8)), tuple(range(8, 16)), ())
    save = AtomicCheckpointIO.save_checkpoint

    def validated(self: Classifier) -> None:
        self._predictions.clear()
        self.validation.append((0.3, 0.4, 0.2, 0.5, 0.5, 0.4)[len(self.validation)])
        self.log("validation_ua", self.validation[-1])

    monkeypatch.setattr(Classifier, "on_validation_epoch_end", validated)

    def trained(name: str, states: int) -> Trained:
        """A training that an error ends as, or after, it writes a state, after so many states."""
        left = iter(range(states, 0, -1))

        def saved(
            self: AtomicCheckpointIO, checkpoint: dict[str, Any], path: Any, **_: Any
        ) -> None:
            last = next(left) == 1
            if written or not last:
                save(self, checkpoint, path)
            if last:
                raise RuntimeError("killed")

        with monkeypatch.context() as patch:
            patch.setattr(AtomicCheckpointIO, "save_checkpoint", saved)
            return train(data, fold, tmp_path / name, seed=1, data_seed=1)

    whole = trained("whole", 99)
    assert (whole.chosen_epoch, len(whole.losses)) == (4, 6)
    for states in range(1, 3 + 6 + 1):  # of the three best epochs, and of all six
        with pytest.raises(RuntimeError, match="killed"):
            trained(f"killed-{states}", states)
        if states % 2 and (killed := tmp_path / f"killed-{states}").exists():
            shutil.copytree(killed, tmp_path / f"copied-{states}")
            kept = sorted(path.name for path in killed.iterdir())
            resumed = trained(f"copied-{states}", 99)
            assert sorted(path.name for path in killed.iterdir()) == kept
        else:
            resumed = trained(f"killed-{states}", 99)
        assert (resumed.losses, resumed.validation) == (whole.losses, whole.validation)
        assert resumed.chosen_epoch == whole.chosen_epoch
        expected = whole.model.state_dict()
        assert all(torch.equal(w, expected[name]) for name, w in resumed.model.state_dict().items())


@pytest.mark.parametrize(
    ("epoch_s", "write_s", "kept"),
    [
        (1.0, 0.0, [6]),
        (31.0, 0.0, [2, 4, 6]),
        (61.0, 0.0, [1, 2, 3, 4, 5, 6]),
        (61.0, 7.0, [1, 4, 6]),  # 140 s after a state that took 7 s to write
    ],
)
def test_a_long_epoch_is_kept(
    epoch_s: float,
    write_s: float,
    kept: list[int],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    recipe = changed(TINY_RECIPE, ["epochs=6", "batch=8"])
    corpus = load_corpus(f"manifest={make_manifest(tmp_path)}")
    data = TrainingData(corpus, corpus_frames(corpus, recipe, tmp_path / "cache"), recipe)
    epochs: list[int] = []
    now = 0.0

    def start(_: Classifier) -> None:
        nonlocal now
        now += epoch_s

    def save(_: AtomicCheckpointIO, checkpoint: dict[str, Any], path: Any, **__: Any) -> None:
        nonlocal now
        now += write_s
        epochs.append(checkpoint["epoch"] + 1)

    monkeypatch.setattr(Classifier, "on_train_epoch_start", start)
    monkeypatch.setattr(training, "_KEPT_STATES", 1)
    monkeypatch.setattr(training, "LatestState", partial(LatestState, clock=lambda: now))
    monkeypatch.setattr(AtomicCheckpointIO, "save_checkpoint", save)
    train(data, part(*range(8)), tmp_path / "work", seed=1, data_seed=1)
    assert epochs == kept


def test_patience_needs_a_validation_part(emodb: Path, cache: Path, tmp_path: Path) -> None:
    recipe = changed(TINY_RECIPE, ["patience=2"])
    with pytest.raises(UserError, match="patience=2 needs a validation part"):
        train(training_data_of(emodb, cache, recipe), part(1, 2), tmp_path, seed=1, data_seed=1)


def test_a_loss_that_is_no_number_stops_training(emodb: Path, cache: Path, tmp_path: Path) -> None:
    wild = ["optimiser.learning_rate=1e30", "optimiser.warm_up=0.0", "clip_norm=1e30"]
    data = training_data_of(emodb, cache, changed(TINY_RECIPE, wild))
    with pytest.raises(UserError, match=r"training: the loss became (nan|inf) in epoch"):
        train(data, part(*range(339)), tmp_path, seed=1, data_seed=1)


def test_weights_that_the_last_step_made_infinite_are_refused(
    emodb: Path, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No loss comes after it that would tell."""
    end = Classifier.on_train_epoch_end

    def spoilt(self: Classifier) -> None:
        end(self)
        torch.nn.init.constant_(next(self.model.parameters()), float("inf"))

    monkeypatch.setattr(Classifier, "on_train_epoch_end", spoilt)
    data = training_data_of(emodb, cache, changed(TINY_RECIPE, ["epochs=1", "ema_decay=0"]))
    with pytest.raises(UserError, match="the last step left weights that are no numbers"):
        train(data, part(*range(60)), tmp_path, seed=1, data_seed=1)


def test_a_full_disk_is_one_line(emodb: Path, cache: Path, tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("in the way")
    with pytest.raises(UserError, match="file/work"):
        train(training_data_of(emodb, cache), part(1, 2), blocked / "work", seed=1, data_seed=1)
