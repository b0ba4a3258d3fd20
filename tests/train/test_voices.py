"""Training under a device's conditions: even draws, one room per voice, baselines of its speech."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch

from edgeser.errors import UserError
from edgeser.features import Baseline
from edgeser.features.baseline import no_baseline
from edgeser.features.frames import raw_frames
from edgeser.features.front_end import Floats
from edgeser.features.pieces import pieces_of
from edgeser.model.centring import Centring
from edgeser_train.corpora import Corpus, load_corpora
from edgeser_train.data.frames import CorpusFrames, corpus_frames
from edgeser_train.data.protocols import Fold
from edgeser_train.models import build
from edgeser_train.sound.augment import SpectrogramAugmentation, WaveformAugmentation, vary, warp
from edgeser_train.sound.sounds import load_sounds
from edgeser_train.training import batches, checkpoint
from edgeser_train.training.batches import CropDataset, TrainingData
from edgeser_train.training.loss import Distillation, loss_of
from edgeser_train.training.recipe import Recipe, changed
from edgeser_train.training.recipes import recipe_of
from edgeser_train.training.sampling import balanced_sample
from edgeser_train.training.teacher import Teacher
from edgeser_train.training.voices import (
    BaselineDraw,
    Episode,
    Episodes,
    Voices,
    centring_weights_of,
)
from tests.sounds import speech

RECIPE = changed(
    recipe_of("lightweight", "voices"),
    [
        "variants=2",
        "crop_frames=[8]",
        "examples=64",
        "batch=8",
        "model.hidden=8",
        "model.channels=8",
    ],
)


@pytest.fixture(scope="module")
def corpus(emodb: Path) -> Corpus:
    return load_corpora([f"emodb={emodb}"])


@pytest.fixture(scope="module")
def frames(corpus: Corpus, cache: Path) -> CorpusFrames:
    return corpus_frames(corpus, RECIPE, cache)


def voices(corpus: Corpus, frames: CorpusFrames, draw: BaselineDraw, part: list[int]) -> Voices:
    return Voices(corpus, frames, RECIPE.front_end, part, draw)


def test_a_baseline_is_of_the_same_voice_copy_and_part_and_never_of_the_utterance_itself(
    corpus: Corpus, frames: CorpusFrames
) -> None:
    first = [i for i, u in enumerate(corpus.utterances) if u.speaker == "03"]
    part = [*first[:2], *(i for i, u in enumerate(corpus.utterances) if u.speaker == "08")]
    drawn = voices(corpus, frames, BaselineDraw(0.0, (1, 8), (0.0, 0.0)), part)
    rng = np.random.default_rng(0)
    other = RECIPE.front_end.heard(frames.of(first[1], 1))
    found = [drawn.baseline(first[0], 1, rng) for _ in range(40)]
    assert any(b is None for b in found)  # it alone was drawn
    for baseline in found:
        if baseline is not None:
            assert baseline.frames % other.frames == 0
            np.testing.assert_allclose(baseline.mean, other.mean, atol=1e-3)


def test_most_of_a_baseline_is_neutral_where_the_draw_says_so(
    corpus: Corpus, frames: CorpusFrames
) -> None:
    part = list(range(len(corpus.utterances)))
    calm = [
        i
        for i in part
        if corpus.utterances[i].label == "neutral" and corpus.utterances[i].speaker == "03"
    ]
    drawn = voices(corpus, frames, BaselineDraw(0.0, (16, 16), (1.0, 1.0)), part)
    one = next(i for i in part if corpus.utterances[i].speaker == "03" and i not in calm)
    baseline = drawn.baseline(one, 0, np.random.default_rng(1))
    assert baseline is not None
    means = np.stack([RECIPE.front_end.heard(frames.of(i, 0)).mean for i in calm])
    assert (baseline.mean >= means.min(axis=0) - 1e-2).all()
    assert (baseline.mean <= means.max(axis=0) + 1e-2).all()


def test_sometimes_there_is_no_baseline(corpus: Corpus, frames: CorpusFrames) -> None:
    drawn = voices(corpus, frames, BaselineDraw(none_chance=1.0), list(range(40)))
    assert drawn.baseline(0, 0, np.random.default_rng(0)) is None


def test_corpora_classes_and_speakers_are_drawn_evenly(corpus: Corpus) -> None:
    part = [i for i, u in enumerate(corpus.utterances) if u.speaker in ("03", "08")]
    drawn = balanced_sample(corpus, part, 8000, np.random.default_rng(0))
    assert set(drawn.tolist()) <= set(part)
    labels = Counter(corpus.utterances[i].label for i in drawn)
    pairs = Counter((corpus.utterances[i].label, corpus.utterances[i].speaker) for i in drawn)
    assert all(count == pytest.approx(2000, rel=0.1) for count in labels.values())
    assert all(count == pytest.approx(1000, rel=0.15) for count in pairs.values())


def test_a_voices_copies_are_of_one_room_and_the_noise_is_its_own() -> None:
    spec = WaveformAugmentation(
        speed_chance=0, codec_chance=0, band_chance=0, noise_chance=0, tilt_chance=1, room_chance=1
    )
    sound = speech()[:16_000]

    def varied(spec: WaveformAugmentation, noise: int) -> np.ndarray:
        return vary(sound, spec, np.random.default_rng(1), np.random.default_rng(noise))

    np.testing.assert_array_equal(varied(spec, 1), varied(spec, 2))
    noisy = msgspec.structs.replace(spec, noise_chance=1.0)
    apart = varied(noisy, 1).astype(float) - varied(noisy, 2)
    assert 0 < np.abs(apart).mean() < 3000


def test_a_short_recording_stays_short_where_the_recipe_says_so() -> None:
    spec = SpectrogramAugmentation(mel_mask=4, keep_short=True)
    frames = np.random.default_rng(0).normal(size=(30, 16)).astype(np.float32)
    for seed in range(20):
        varied = warp(frames, 100, spec, np.random.default_rng(seed))
        assert 8 <= len(varied.piece) <= 36
        np.testing.assert_allclose(varied.spectrum(np.zeros(16, np.float32)), varied.response_db)
    assert len(warp(frames, 10, spec, np.random.default_rng(0)).piece) == 10


def an_episode(corpus: Corpus, frames: CorpusFrames, **draw: float) -> Episode:
    part = list(range(len(corpus.utterances)))
    drawn = voices(corpus, frames, BaselineDraw(**draw), part)  # type: ignore[arg-type]
    return drawn.episode(Episodes(queries=8, known=3), 0, 2, np.random.default_rng(5))


def test_an_episode_is_of_one_voice_its_classes_evenly(
    corpus: Corpus, frames: CorpusFrames
) -> None:
    episode = an_episode(corpus, frames)
    said = [corpus.utterances[i] for i in episode.utterances]
    assert {u.speaker for u in said} == {corpus.utterances[0].speaker}
    assert (len(said), episode.queries) == (11, 8)
    assert set(Counter(u.label for u in said[:8]).values()) == {2}  # of four classes
    assert episode.copy in (0, 1)


def test_queries_are_relative_to_what_is_known_of_their_voice_and_never_to_themselves(
    corpus: Corpus, frames: CorpusFrames
) -> None:
    episodes = [an_episode(corpus, frames), an_episode(corpus, frames, none_chance=1.0)]
    counts = np.full(22, 50)
    weights = centring_weights_of(episodes, counts, 100, np.random.default_rng(0))
    first = episodes[0].utterances
    assert not weights[8:].any()  # what is known is relative to nothing, nor is a voice unknown
    for query, row in enumerate(weights[:8]):
        others = np.flatnonzero(row)
        assert set(others) <= {8, 9, 10}
        assert all(first[k] != first[query] for k in others)
        number = len(others)
        assert row.sum() == pytest.approx(50 * number / (50 * number + 100))


def test_a_batch_of_episodes_counts_its_queries_and_teaches_the_prior(
    corpus: Corpus, frames: CorpusFrames
) -> None:
    recipe = changed(RECIPE, [f"model.labels={len(corpus.labels)}", "batch=28"])
    part = tuple(range(len(corpus.utterances)))
    batch = next(iter(CropDataset(TrainingData(corpus, frames, recipe), part, seed=3)))
    assert batch.targets.sum(dim=1).tolist() == 2 * (10 * [1.0] + 4 * [0.0])
    assert batch.centring_weights is not None
    assert batch.centring_weights.shape == (28, 28)
    model = build(recipe.model)
    model.centre(len(corpus.labels))
    loss_of(recipe.loss, model, batch, torch.ones(len(corpus.labels))).backward()
    assert model.prior.grad is not None
    assert model.prior.grad.abs().sum() > 0


def test_training_centres_logits_as_the_device_does() -> None:
    rng = np.random.default_rng(0)
    logits = rng.standard_normal((4, 3)).astype(np.float32)
    model = build(msgspec.structs.replace(RECIPE.model, labels=3))
    model.centre(3)
    with torch.no_grad():
        model.prior.copy_(torch.tensor([0.5, -1.0, 0.25]))
    weights = np.zeros((4, 4), np.float32)
    weights[0, 1:] = np.array([20, 30, 50], np.float32) / 250
    trained = model.centred(torch.from_numpy(logits), torch.from_numpy(weights)).detach().numpy()
    device = Centring(model.prior.tolist(), own_frames=150, most_frames=1000)
    baseline = no_baseline(3)
    for row, count in zip(logits[1:], (20, 30, 50), strict=True):
        baseline = device.updated(baseline, row, count)
    np.testing.assert_allclose(trained[0], device.centred(logits[0], baseline), atol=1e-5)
    np.testing.assert_array_equal(trained[1:], logits[1:])


def test_a_teacher_that_centres_by_voice_knows_the_rest_of_the_voice(
    corpus: Corpus, cache: Path, tmp_path: Path
) -> None:
    """Its logits for an utterance are those of a device that heard all the others of the part.

    Like a device, it forgets what was heard first.
    """
    recipe = changed(RECIPE, ["front_end.baseline_frames=30"])
    torch.manual_seed(1)
    model = build(RECIPE.model).eval()
    model.centre(4)
    with torch.no_grad():
        model.prior.copy_(torch.tensor([0.5, -0.5, 0.0, 1.0]))
    part = tuple(i for i, u in enumerate(corpus.utterances) if u.speaker in ("03", "08"))
    fold = Fold("all", part, (), ())
    origin = checkpoint.origin_of(corpus, recipe, "all", fold, 1)
    checkpoint.save(tmp_path / "model.pt", model, origin)
    front_end, window = recipe.front_end, recipe.window
    centring = checkpoint.centring_of(model, origin)
    assert centring is not None
    sounds = load_sounds(corpus, cache)

    def device(i: int, others: list[int], spoken: Baseline, said: Baseline) -> Floats:
        pieces = pieces_of(raw_frames(sounds.of(i), front_end), front_end, window, spoken)
        with torch.inference_mode():
            logits = model(torch.from_numpy(pieces[0])[None], torch.tensor([len(pieces[0])]))
        raw: Floats = logits[0].numpy()
        return raw if not others else centring.centred(raw, said)

    def known(others: list[int]) -> Baseline:
        total = no_baseline(front_end.bins)
        for k in others:
            heard = front_end.heard(raw_frames(sounds.of(k), front_end))
            total = total.updated(heard, front_end.baseline_frames)
        return total

    voice = [i for i in part if corpus.utterances[i].speaker == "08"]
    said = no_baseline(4)
    for k in voice[1:]:
        others = [i for i in voice if i != k]
        frames = len(raw_frames(sounds.of(k), front_end))
        said = said.updated(
            Baseline(device(k, [], known(others), said), frames), centring.most_frames
        )
    assert sum(len(raw_frames(sounds.of(k), front_end)) for k in voice[1:]) > 100
    expected = device(voice[0], voice[1:], known(voice[1:]), said)
    taught = Teacher((tmp_path / "model.pt",)).logits(corpus, fold, sounds)
    probabilities = torch.softmax(torch.from_numpy(expected), dim=0).numpy()
    np.testing.assert_allclose(np.exp(taught[voice[0]]), probabilities, atol=1e-5)


def test_more_processes_than_episodes_in_a_batch_are_refused(
    corpus: Corpus, frames: CorpusFrames, monkeypatch: pytest.MonkeyPatch
) -> None:
    crops = CropDataset(
        TrainingData(corpus, frames, RECIPE), tuple(range(len(corpus.utterances))), 1
    )
    whole = len(list(crops))
    assert RECIPE.episodes is not None
    most = max(1, round(RECIPE.batch / (RECIPE.episodes.queries + RECIPE.episodes.known)))
    monkeypatch.setattr(batches, "_rank_and_world", lambda: (0, most + 1))
    with pytest.raises(UserError, match=f"a batch has {most} episodes, and {most + 1} processes"):
        list(crops)
    monkeypatch.setattr(batches, "_rank_and_world", lambda: (0, most))
    assert len(list(crops)) == whole


def test_known_utterances_of_an_episode_are_not_in_the_loss(
    corpus: Corpus, frames: CorpusFrames
) -> None:
    rows = np.zeros((len(corpus.utterances), 4), np.float32)
    data = TrainingData(corpus, frames, RECIPE, rows)
    batch = next(iter(CropDataset(data, tuple(range(len(corpus.utterances))), 1)))
    assert batch.teacher is not None
    counts = batch.targets.sum(dim=1)
    assert 0 < int((counts == 0).sum()) < len(counts)
    torch.manual_seed(1)
    model = build(RECIPE.model).eval()
    model.centre(4)
    other = batch.teacher + torch.randn_like(batch.teacher) * (counts == 0)[:, None]
    losses = [
        loss_of(RECIPE.loss, model, b, torch.ones(4), Distillation(0.7, 1.0))
        for b in (batch, batch._replace(teacher=other))
    ]
    torch.testing.assert_close(losses[0], losses[1])


def test_an_epoch_of_the_recipe_is_the_same_again(corpus: Corpus, frames: CorpusFrames) -> None:
    part = tuple(range(len(corpus.utterances)))
    first, again = (
        list(CropDataset(TrainingData(corpus, frames, RECIPE), part, seed=3)) for _ in range(2)
    )
    assert len(first) == 64 // 10  # an episode has ten queries
    for one, other in zip(first, again, strict=True):
        assert one.features.equal(other.features)
        assert one.frames.equal(other.frames)
    assert len({batch.features.shape[1] for batch in first}) == 1


@pytest.mark.parametrize(
    ("setting", "told"),
    [
        ("front_end.normalise=speech", "baselines need front_end.normalise 'voice'"),
        ("balanced=false", "examples must be"),
        ("baselines.none_chance=2", "none_chance"),
        ("baselines.utterances=[3,1]", "utterances"),
        ("episodes.known=0", "at least 1"),
        ("spectrogram.mixup=0.2", "exclude each other"),
        ("baselines=null", "episodes need baselines"),
    ],
)
def test_what_does_not_fit_together_is_refused(setting: str, told: str) -> None:
    with pytest.raises(UserError, match=told):
        changed(RECIPE, [setting])


def test_the_recipe_is_small() -> None:
    recipe: Recipe = recipe_of("lightweight", "voices", labels=6)
    assert recipe.front_end.hop == 320
    assert recipe.model.labels == 6
