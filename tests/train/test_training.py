"""Losses, batches, augmentation and recipes."""

from __future__ import annotations

import inspect
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch

from edgeser.errors import UserError
from edgeser.features import FrontEnd
from edgeser.features.filters import mel_filters
from edgeser.features.frames import features_of, raw_frames
from edgeser.features.pieces import WindowPolicy
from edgeser.model.golden import waveform
from edgeser.speech.vad import VoiceActivity
from edgeser_train.corpora import load_corpus
from edgeser_train.corpora.emodb import load
from edgeser_train.data import frames
from edgeser_train.data.frames import CorpusFrames, corpus_frames
from edgeser_train.data.protocols import Fold
from edgeser_train.models.lightweight import Lightweight
from edgeser_train.models.scoring import utterance_pieces
from edgeser_train.sound import codec
from edgeser_train.sound.augment import (
    SpectrogramAugmentation,
    WaveformAugmentation,
    mask,
    vary,
    warp,
)
from edgeser_train.sound.room import impulse_response
from edgeser_train.training import checkpoint, training
from edgeser_train.training.batches import CropDataset, TrainingData, UtteranceDataset
from edgeser_train.training.losses import Focal
from edgeser_train.training.recipe import Recipe, changed
from edgeser_train.training.recipes import recipe_of
from edgeser_train.training.states import AtomicCheckpointIO
from edgeser_train.training.training import Trained, train
from tests.train.synthetic import TINY, make_manifest

RECIPE = changed(recipe_of("lightweight"), TINY)


def training_data_of(folder: Path, cache: Path, recipe: Recipe = RECIPE) -> TrainingData:
    corpus = load(folder)
    return TrainingData(corpus, corpus_frames(corpus, recipe, cache), recipe)


def part(*indices: int) -> Fold:
    return Fold("part", indices, (), ())


@pytest.mark.parametrize("seed", range(8))
def test_a_varied_recording_is_a_recording(seed: int) -> None:
    spec = WaveformAugmentation(
        speed_chance=1,
        tilt_chance=1,
        room_chance=1,
        noise_chance=1,
        band_chance=1,
        codec_chance=1,
        speed=(0.8, 1.25),
    )
    sound = waveform(seed, 1.0)
    varied = vary(sound, spec, np.random.default_rng(seed))
    again = vary(sound, spec, np.random.default_rng(seed))
    assert varied.dtype == np.int16
    assert 0.79 <= len(varied) / len(sound) <= 1.26
    assert np.abs(varied.astype(int)).max() > 500
    np.testing.assert_array_equal(varied, again)


@pytest.mark.parametrize("level", [0.3, 1.0, 2.0])
def test_a_room_is_as_reverberant_as_the_recipe_says(level: float) -> None:
    spec = WaveformAugmentation(
        room_chance=1,
        room_level=(level, level),
        peak_dbfs=(-1, -1),
        **{f"{step}_chance": 0 for step in ("speed", "tilt", "noise", "band", "codec")},
    )
    click = np.zeros(16_000, np.int16)
    click[0] = 20_000
    heard = vary(click, spec, np.random.default_rng(3)).astype(np.float64)
    reverberation = np.sqrt(np.sum(heard[1:] ** 2)) / heard[0]
    assert reverberation == pytest.approx(level, rel=0.05)


@pytest.mark.parametrize("length", [20, 100, 150])
def test_a_warped_piece_has_its_length(length: int) -> None:
    frames = raw_frames(waveform(1, 1.0), FrontEnd())
    for seed in range(20):
        rng = np.random.default_rng(seed)
        piece = warp(frames, length, SpectrogramAugmentation(), rng)
        assert piece.shape == (length, 128)
        assert piece.dtype == np.float32
        assert frames.min() - 20 < piece.min() <= piece.max() < frames.max() + 20


def test_without_warping_a_piece_is_a_cut() -> None:
    frames = np.arange(100, dtype=np.float32)[:, None] + np.zeros((1, 8), np.float32)
    still = SpectrogramAugmentation(tempo=(1, 1), mel_warp=(1, 1), tilt_db=0, ripple_db=0)
    piece = warp(frames, 30, still, np.random.default_rng(0))
    np.testing.assert_allclose(np.diff(piece[:, 0]), 1, atol=1e-4)


def test_masks_leave_most_of_a_window() -> None:
    features = features_of(waveform(1, 2.0), FrontEnd())
    before = features.copy()
    mask(features, SpectrogramAugmentation(), np.random.default_rng(0))
    assert 0 < (features != before).mean() < 0.5


def test_frames_are_computed_once(emodb: Path, tmp_path: Path) -> None:
    corpus = load(emodb)
    frames = corpus_frames(corpus, RECIPE, tmp_path)
    assert frames.bounds.shape == (339, 2, 2)
    first = raw_frames(corpus.utterances[5].samples(), RECIPE.front_end)
    np.testing.assert_allclose(frames.of(5, 0), first, atol=0.04)
    kept = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.npy")}
    corpus_frames(corpus, RECIPE, tmp_path)
    corpus_frames(corpus, changed(RECIPE, ["front_end.normalise=peak", "epochs=9"]), tmp_path)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.npy")} == kept
    assert not list(tmp_path.glob(".*"))


def test_frames_that_other_code_made_are_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    makers = (raw_frames, mel_filters, VoiceActivity, vary, codec.g711, impulse_response)
    assert {Path(inspect.getfile(maker)) for maker in makers} < set(frames._SOURCES)
    code = tmp_path / "code.py"
    code.write_text("LOUDER = 0.0")
    monkeypatch.setattr(frames, "_SOURCES", (code,))
    corpus = load_corpus(f"manifest={make_manifest(tmp_path)}")

    def kept() -> int:
        corpus_frames(corpus, RECIPE, tmp_path / "cache")
        return len(list(tmp_path.glob("cache/*/rows.npy")))

    assert [kept(), kept()] == [1, 1]
    code.write_text("LOUDER = 6.0")
    assert kept() == 2


def test_epochs_cover_the_part_and_only_it(emodb: Path, cache: Path) -> None:
    data = training_data_of(emodb, cache)
    chosen = tuple(range(0, 339, 3))
    crops = CropDataset(data, chosen, seed=3)
    batches = list(crops)
    assert len(batches) == len(crops)
    wanted = np.bincount([data.corpus.targets[i] for i in chosen], minlength=4)
    assert sum(batch.targets.sum(0) for batch in batches).tolist() == wanted.tolist()
    for batch in batches:
        assert batch.features.shape[1] in RECIPE.crop_frames
        assert (batch.frames == batch.features.shape[1]).all()
    mixed = training_data_of(emodb, cache, changed(RECIPE, ["spectrogram.mixup=0.4"]))
    for batch in CropDataset(mixed, chosen, seed=3):
        torch.testing.assert_close(batch.targets.sum(dim=1), torch.ones(len(batch.targets)))


def test_a_teacher_s_answers_are_mixed_as_the_labels_are(emodb: Path, cache: Path) -> None:
    plain = training_data_of(emodb, cache, changed(RECIPE, ["spectrogram.mixup=0.4"]))
    rows = np.log(np.full((339, 4), 0.1, np.float32) + 0.6 * np.eye(4)[list(plain.corpus.targets)])
    taught = replace(plain, teacher=rows.astype(np.float32))
    (alone,), (batch,) = (CropDataset(data, (1, 90, 300), 3) for data in (plain, taught))
    assert alone.teacher is None
    assert batch.teacher is not None
    assert torch.equal(alone.features, batch.features)
    assert torch.equal(alone.targets, batch.targets)
    assert not set(batch.targets.flatten().tolist()) <= {0.0, 1.0}
    torch.testing.assert_close(batch.teacher.exp(), 0.1 + 0.6 * batch.targets)


def test_without_crops_a_batch_holds_what_the_window_policy_cuts(emodb: Path, cache: Path) -> None:
    window = ["window.cut=segments", "window.frames=20", "window.hop_frames=5"]
    plain = ["crop_frames=[]", "spectrogram=null", "window.pad_frames=16", *window]
    data = training_data_of(emodb, cache, changed(RECIPE, plain))
    for batch in CropDataset(data, tuple(range(40)), seed=3):
        assert batch.features.shape[1] == 32
        assert (batch.frames == 20).all()
    features, frames, target = UtteranceDataset(data, (7, 8))[1]
    assert features.shape == (3, 32, 128)  # 30 frames: two pieces, and one that ends with them
    assert frames.tolist() == [20, 20, 20]
    assert target == data.corpus.targets[8]


def test_every_stft_version_is_a_copy(emodb: Path, tmp_path: Path) -> None:
    narrow = changed(RECIPE, ["stft_windows=[320, 640]", "variants=1"])
    frames = training_data_of(emodb, tmp_path, narrow).frames
    assert frames.copies == 2  # 640 is the recipe's own
    sound = load(emodb).utterances[5].samples()
    for copy, window in enumerate((640, 320)):
        front_end = FrontEnd(window=window, lookback=window - 160)
        np.testing.assert_allclose(frames.of(5, copy), raw_frames(sound, front_end), atol=0.04)


def test_training_is_the_same_for_the_same_seed(emodb: Path, cache: Path, tmp_path: Path) -> None:
    data = training_data_of(emodb, cache)
    chosen = part(*range(100, 300))
    one, two, other = (
        train(data, chosen, tmp_path / str(i), seed=4, data_seed=data_seed)
        for i, data_seed in enumerate((4, 4, 5))
    )
    assert one.losses == pytest.approx(two.losses, rel=1e-3)
    assert one.losses != pytest.approx(other.losses, rel=1e-3)
    assert len(one.losses) == one.chosen_epoch == RECIPE.epochs
    assert one.validation == []
    features = [RECIPE.front_end.normalised(data.frames.of(i, 0)) for i in chosen.train]
    mean = np.concatenate(features).mean(axis=0)
    np.testing.assert_allclose(one.model.mean.numpy(), mean, atol=1e-3)


def test_a_filled_window_is_standardised_as_it_is_heard(
    emodb: Path, cache: Path, tmp_path: Path
) -> None:
    filled = ["window.cut=centre", "window.frames=40", "window.fill=true", "window.pad_frames=40"]
    recipe = changed(RECIPE, [*filled, "crop_frames=[]", "spectrogram=null", "epochs=1"])
    data = training_data_of(emodb, cache, recipe)
    chosen = part(*range(100, 120))
    model = train(data, chosen, tmp_path, seed=1, data_seed=1).model
    utterances = UtteranceDataset(data, chosen.train)
    heard = torch.cat([utterances[i][0].flatten(0, 1) for i in range(20)])
    assert len(heard) == 20 * 40
    torch.testing.assert_close(model.mean, heard.mean(dim=0), rtol=1e-4, atol=1e-3)
    torch.testing.assert_close(model.std, heard.std(dim=0, correction=0), rtol=1e-3, atol=1e-3)


def test_statistics_of_many_frames_are_exact(emodb: Path, tmp_path: Path) -> None:
    recipe = changed(RECIPE, ["front_end.normalise=none", "crop_frames=[8]", "epochs=1"])
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


def test_a_file_shorter_than_a_frame_is_named(tmp_path: Path) -> None:
    listed = make_manifest(tmp_path)
    for samples in (159, 160):
        soundfile.write(tmp_path / "3.wav", waveform(1, 1.0)[:samples], 16_000, "PCM_16")
        corpus = load_corpus(f"manifest={listed}")
        if samples < 160:
            with pytest.raises(UserError, match=r"3\.wav: 159 samples, a frame takes 160; repl"):
                corpus_frames(corpus, RECIPE, tmp_path / "cache")
        else:
            fast = changed(RECIPE, ["waveform.speed_chance=1", "waveform.speed=[1.2,1.3]"])
            lengths = np.diff(corpus_frames(corpus, fast, tmp_path / "cache").bounds)[3]
            assert (lengths == 1).all()


def test_validation_chooses_the_epoch_and_ends_the_training(
    emodb: Path, cache: Path, tmp_path: Path
) -> None:
    recipe = changed(RECIPE, ["epochs=12", "patience=2"])
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
    recipe = changed(RECIPE, ["epochs=9", "patience=2", "batch=4", "ema_decay=0.5"])
    corpus = load_corpus(f"manifest={make_manifest(tmp_path)}")
    data = TrainingData(corpus, corpus_frames(corpus, recipe, tmp_path / "cache"), recipe)
    fold = Fold("a", tuple(range(8)), tuple(range(8, 16)), ())
    save = AtomicCheckpointIO.save_checkpoint

    def validated(self: training._Classifier) -> None:
        self._predictions.clear()
        self.validation.append((0.3, 0.4, 0.2, 0.5, 0.5, 0.4)[len(self.validation)])
        self.log("validation_ua", self.validation[-1])

    monkeypatch.setattr(training._Classifier, "on_validation_epoch_end", validated)

    def trained(name: str, states: int) -> Trained:
        """Ended by an error as it writes a state, or behind that, when it wrote so many."""
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


def test_patience_needs_a_validation_part(emodb: Path, cache: Path, tmp_path: Path) -> None:
    recipe = changed(RECIPE, ["patience=2"])
    with pytest.raises(UserError, match="patience=2 needs a validation part"):
        train(training_data_of(emodb, cache, recipe), part(1, 2), tmp_path, seed=1, data_seed=1)


def test_a_loss_that_is_no_number_stops_training(emodb: Path, cache: Path, tmp_path: Path) -> None:
    wild = ["optimiser.learning_rate=1e30", "optimiser.warm_up=0.0", "clip_norm=1e30"]
    data = training_data_of(emodb, cache, changed(RECIPE, wild))
    with pytest.raises(UserError, match=r"training: the loss became (nan|inf) in epoch"):
        train(data, part(*range(339)), tmp_path, seed=1, data_seed=1)


def test_weights_that_the_last_step_spoilt_are_no_model(
    emodb: Path, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No loss comes after it that would tell."""
    end = training._Classifier.on_train_epoch_end

    def spoilt(self: training._Classifier) -> None:
        end(self)
        torch.nn.init.constant_(next(self.model.parameters()), float("inf"))

    monkeypatch.setattr(training._Classifier, "on_train_epoch_end", spoilt)
    data = training_data_of(emodb, cache, changed(RECIPE, ["epochs=1", "ema_decay=0"]))
    with pytest.raises(UserError, match="the last step left weights that are no numbers"):
        train(data, part(*range(60)), tmp_path, seed=1, data_seed=1)


def test_a_full_disk_is_one_line(emodb: Path, cache: Path, tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("in the way")
    with pytest.raises(UserError, match="file/work"):
        train(training_data_of(emodb, cache), part(1, 2), blocked / "work", seed=1, data_seed=1)


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("epoch=3", "the recipe has no 'epoch'; there is: model, front_end, window"),
        ("epochs", "epochs: it has no value; write epochs=VALUE"),
        ("model.block=3", "model has no 'block'; there is: name, labels, mels, blocks"),
        ("model.blocks.n=3", "model.blocks is 2, which has no fields"),
        ("distillation.weight=1", "distillation is null; put --set distillation={} in front"),
        ("epochs=0", "bad recipe: .*at least 1"),
        ("crop_frames=[2]", "bad recipe: .*at least 3"),
        ("optimiser.learning_rate=0.0", "bad recipe: .*learning_rate > 0"),
        ("front_end.mels=64", "bad recipe: .*gives 64 features a frame, the model takes 128"),
        ("epochs=many", r"bad recipe: Expected `int`, got `str` - at `\$.epochs`"),
        ("model.dropout=2", "bad recipe: .*dropout"),
        ("front_end.normalise=loud", "bad recipe: Invalid enum value 'loud'"),
        ("spectrogram.time_mask=5", "bad recipe: spectrogram: time_mask"),
        ("spectrogram.mel_mask=129", r"bad recipe: spectrogram\.mel_mask must be at most 128"),
        ("spectrogram.mel_masks=-1", "bad recipe: spectrogram: mel_masks must be at least 0"),
        ("spectrogram.tempo=[2,1]", r"bad recipe: spectrogram: tempo .*got \[2\.0, 1\.0\]"),
        ("waveform.speed=[0,1]", "bad recipe: waveform: speed .*above 0"),
        ("waveform.room_s=[0,1]", r"bad recipe: waveform: room_s .*above 0\.001"),
        ("waveform.snr_db=[9,1]", "bad recipe: waveform: snr_db"),
        ("waveform.codec_chance=2", "bad recipe: waveform: codec_chance"),
        ("waveform.tilt_db=-1", "bad recipe: waveform: tilt_db"),
        ("stft_windows=[100]", "bad recipe: front end: .*window 100"),
        ("batch=99999999", "bad recipe: batch must be at most"),
        ("clip_norm=-1", "bad recipe: clip_norm"),
        ("patience=-1", "bad recipe: .*patience"),
        ("optimiser.momentum=-1", "bad recipe: .*momentum"),
        ("optimiser.decay=0", "bad recipe: .*decay > 0"),
        ("window.frames=1", r"bad recipe: window\.frames must be at least 3"),
    ],
)
def test_a_bad_setting_is_one_line(setting: str, said: str) -> None:
    with pytest.raises(UserError, match=said) as raised:
        changed(recipe_of("lightweight"), [setting])
    assert "\n" not in str(raised.value)


def test_another_loss_comes_with_its_own_fields() -> None:
    recipe = changed(recipe_of("lightweight"), ["loss.name=focal", "loss.gamma=2"])
    assert recipe.loss == Focal(gamma=2)
    with pytest.raises(UserError, match="loss: no loss 'hinge'; there is cross-entropy, focal"):
        changed(recipe_of("lightweight"), ["loss.name=hinge"])


def test_what_a_recipe_lacks_can_be_added() -> None:
    paper = recipe_of("lightweight", "paper")
    recipe = changed(paper, ["spectrogram={}", "spectrogram.mixup=0.4"])
    assert recipe.spectrogram == SpectrogramAugmentation(mixup=0.4)
    with pytest.raises(UserError, match="unknown field `mixups`"):
        changed(paper, ["spectrogram={}", "spectrogram.mixups=0.4"])


def test_a_checkpoint_comes_back(tmp_path: Path, emodb: Path) -> None:
    model = Lightweight(RECIPE.model).eval()
    origin = checkpoint.origin_of(load(emodb), RECIPE, "full", part(4, 2), 1)
    checkpoint.save(tmp_path / "m" / "model.pt", model, origin)
    again, read = checkpoint.load(tmp_path / "m" / "model.pt")
    assert read == origin
    assert origin.trained_on == [load(emodb).utterances[i].name for i in (4, 2)]
    x, n = torch.randn(1, 50, 128), torch.tensor([50])
    torch.testing.assert_close(again(x, n), model(x, n))
    assert [p.name for p in (tmp_path / "m").iterdir()] == ["model.pt"]


@pytest.mark.parametrize("content", [b"", b"text", None])
def test_what_is_no_checkpoint_is_named(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "model.pt"
    if content is None:
        torch.save({"weights": {}}, path)
    else:
        path.write_bytes(content)
    said = "not one of this version" if content is None else "this is something else, not a"
    with pytest.raises(UserError, match=rf"model\.pt: {said}"):
        checkpoint.load(path)
    with pytest.raises(UserError, match="no such file"):
        checkpoint.load(tmp_path / "other.pt")
    with pytest.raises(UserError, match=r"no checkpoint a\.pt of fold a; .* folds and one seed"):
        checkpoint.file_of(tmp_path, Fold("a", (0,), (), (1,)))


def test_long_utterances_are_scored_on_their_middle() -> None:
    front_end = FrontEnd()
    sound = waveform(1, 3.0)
    window = WindowPolicy(cut="centre", frames=120)
    (middle,) = utterance_pieces(sound, front_end, window, 3)
    expected = front_end.normalised(raw_frames(sound, front_end)[90:210])
    np.testing.assert_array_equal(middle, expected)
    (short,) = utterance_pieces(sound[:5], front_end, window, 3)
    assert len(short) == 3
