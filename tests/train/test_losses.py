"""Losses by name: what they equal, what they leave out, what they refuse."""

from __future__ import annotations

import msgspec
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from edgeser.errors import UserError
from edgeser_train.data.batch import Batch
from edgeser_train.models.speech_model import SpeechModel
from edgeser_train.training.loss import (
    Distillation,
    Loss,
    class_weights,
    divergence,
    loss_of,
)
from edgeser_train.training.losses import (
    CTC,
    LOSSES,
    CrossEntropy,
    DifficultyFocal,
    Focal,
    MultiTask,
    difficulty,
)
from edgeser_train.training.recipe import by_name

WEIGHTS = torch.tensor([0.5, 1.0, 2.0, 0.7])


class Linear(SpeechModel):
    """Mean over time, then one linear layer."""

    def __init__(self, outputs: int = 4) -> None:
        super().__init__(3)
        self.linear = nn.Linear(3, outputs)

    def forward(self, features: Tensor, frames: Tensor) -> Tensor:
        logits: Tensor = self.linear(self.standardised(features, frames).mean(dim=1))
        return logits


class Stepwise(Linear):
    def __init__(self) -> None:
        super().__init__(5)

    def frame_log_probs(self, features: Tensor, frames: Tensor) -> tuple[Tensor, Tensor]:
        return torch.log_softmax(self.linear(features), dim=2), frames


class Estimator(Linear):
    def __init__(self) -> None:
        super().__init__(6)

    def estimates(self, features: Tensor, frames: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        outputs = self(features, frames)
        return outputs[:, :4], outputs[:, 4], outputs[:, 5]


@pytest.fixture
def batch() -> Batch:
    torch.manual_seed(0)
    targets = torch.eye(4)[torch.randint(4, (12,))]
    return Batch.of(torch.randn(12, 7, 3), torch.full((12,), 7), targets)


def weighted(logits: Tensor, batch: Batch) -> Tensor:
    return F.cross_entropy(logits, batch.targets.argmax(dim=1), weight=WEIGHTS)


@pytest.mark.parametrize(
    "spec", [CrossEntropy(), Focal(gamma=0.0), DifficultyFocal(exponents=(0.0, 0.0, 0.0))]
)
def test_without_focus_every_loss_is_weighted_cross_entropy(spec: Loss, batch: Batch) -> None:
    model = Linear()
    expected = weighted(model(batch.features, batch.frames), batch)
    torch.testing.assert_close(loss_of(spec, model, batch, WEIGHTS), expected)


def test_label_smoothing_spreads_the_target(batch: Batch) -> None:
    model = Linear()
    even = torch.ones(4)
    expected = F.cross_entropy(
        model(batch.features, batch.frames), batch.targets.argmax(dim=1), label_smoothing=0.2
    )
    smoothed = loss_of(CrossEntropy(label_smoothing=0.2), model, batch, even)
    torch.testing.assert_close(smoothed, expected)


def test_mixed_targets_are_mixed_losses(batch: Batch) -> None:
    model = Linear()
    even = torch.ones(4)
    other = batch._replace(targets=batch.targets.roll(1, dims=0))
    mixed = batch._replace(targets=0.3 * batch.targets + 0.7 * other.targets)
    for spec in (CrossEntropy(), Focal(gamma=1.5)):
        parts = 0.3 * loss_of(spec, model, batch, even) + 0.7 * loss_of(spec, model, other, even)
        torch.testing.assert_close(loss_of(spec, model, mixed, even), parts)


def test_difficulty_sets_the_exponent(batch: Batch) -> None:
    model = Linear()
    even = torch.ones(4)
    hard = batch._replace(level=torch.full((12,), 2))
    torch.testing.assert_close(
        loss_of(DifficultyFocal(), model, hard, even), loss_of(Focal(gamma=2.0), model, batch, even)
    )
    levels = torch.tensor([0, 1, 2] * 4)
    p = torch.softmax(model(batch.features, batch.frames), dim=1)
    p = p[torch.arange(12), batch.targets.argmax(dim=1)]
    weight = WEIGHTS[batch.targets.argmax(dim=1)]
    expected = (weight * (1 - p) ** levels * -p.log()).sum() / weight.sum()
    got = loss_of(DifficultyFocal(), model, batch._replace(level=levels), WEIGHTS)
    torch.testing.assert_close(got, expected)


def test_focal_of_a_certain_model_has_a_gradient(batch: Batch) -> None:
    model = Linear()
    with torch.no_grad():
        model.linear.weight.zero_()
        model.linear.bias.copy_(torch.tensor([90.0, 0.0, 0.0, 0.0]))
    loss_of(Focal(gamma=0.5), model, batch, WEIGHTS).backward()
    assert model.linear.bias.grad is not None
    assert torch.isfinite(model.linear.bias.grad).all()


@pytest.mark.parametrize(("agreement", "level"), [(None, 0), (1.0, 0), (0.65, 1), (0.64, 2)])
def test_agreement_makes_the_level(agreement: float | None, level: int) -> None:
    assert difficulty(agreement) == level


@pytest.mark.parametrize(
    ("counts", "weights"),
    [
        ((127, 81, 46, 69, 71, 62, 79), (0.602, 0.944, 1.661, 1.108, 1.076, 1.233, 0.967)),
        ((1103, 1636, 1708, 1084), (1.254, 0.845, 0.810, 1.276)),
        ((289, 608, 947, 1099), (2.546, 1.210, 0.777, 0.669)),
    ],
    ids=["Emo-DB", "IEMOCAP 5531", "IEMOCAP 2943"],
)
def test_inverse_weights(counts: tuple[int, ...], weights: tuple[float, ...]) -> None:
    targets = [label for label, count in enumerate(counts) for _ in range(count)]
    inverse = class_weights(targets, len(counts), "inverse")
    torch.testing.assert_close(inverse, torch.tensor(weights), rtol=0, atol=5.1e-4)
    assert float(inverse[torch.tensor(targets)].mean()) == pytest.approx(1)


def test_zhong_given_and_no_weights() -> None:
    targets = torch.tensor([0] * 8 + [1] * 4 + [2] * 2)
    torch.testing.assert_close(
        class_weights(targets, 3, "zhong"), torch.tensor([8 / 8.5, 8 / 4.5, 8 / 2.5])
    )
    assert class_weights(targets, 3, "none").tolist() == [1, 1, 1]
    given = (1.1, 0.5, 0.2)
    torch.testing.assert_close(class_weights(targets, 3, given), torch.tensor(given))
    aibo = [round(1000 / n, 1) for n in (881, 2093, 5590, 674, 721)]
    assert aibo == [1.1, 0.5, 0.2, 1.5, 1.4]


def test_label_that_never_comes_weighs_nothing() -> None:
    assert class_weights([0, 0, 2], 3, "inverse").tolist() == [0.5, 0, 1]


@pytest.mark.parametrize("given", [(1.0, 2.0), (1.0, 2.0, 0.0)])
def test_given_weights_must_fit(given: tuple[float, ...]) -> None:
    with pytest.raises(UserError, match="3 positive numbers"):
        class_weights([0, 1, 2], 3, given)


@pytest.mark.parametrize("repeat", [1, 2, 5])
def test_ctc_is_torch_s(repeat: int, batch: Batch) -> None:
    model = Stepwise()
    lengths = torch.tensor([7, 4] * 6)
    batch = batch._replace(frames=lengths)
    labels = batch.targets.argmax(dim=1)
    log_probs, _ = model.frame_log_probs(batch.features, batch.frames)
    losses = nn.CTCLoss(blank=4, reduction="none", zero_infinity=True)(
        log_probs.transpose(0, 1),
        labels[:, None].expand(12, repeat),
        lengths,
        torch.full((12,), repeat),
    )
    expected = (WEIGHTS[labels] * losses).sum() / WEIGHTS[labels].sum()
    got = loss_of(CTC(repeat=repeat), model, batch, WEIGHTS)
    torch.testing.assert_close(got, expected)
    if repeat == 5:
        assert (losses[1::2] == 0).all()
    got.backward()


def test_ctc_takes_the_larger_half_of_a_mixed_target(batch: Batch) -> None:
    model = Stepwise()
    mixed = batch._replace(targets=0.8 * batch.targets + 0.2 * batch.targets.roll(1, dims=1))
    torch.testing.assert_close(
        loss_of(CTC(), model, mixed, WEIGHTS), loss_of(CTC(), model, batch, WEIGHTS)
    )


def test_multi_task_leaves_out_what_is_unknown(batch: Batch) -> None:
    model = Estimator()
    logits, valence, _ = model.estimates(batch.features, batch.frames)
    got = loss_of(MultiTask(), model, batch, WEIGHTS)
    torch.testing.assert_close(got, 0.5 * weighted(logits, batch))
    some = torch.full((12,), float("nan"))
    some[:3] = torch.tensor([1.0, 3.0, 5.0])
    got = loss_of(MultiTask(), model, batch._replace(valence=some), WEIGHTS)
    expected = 0.5 * weighted(logits, batch) + 0.25 * (valence[:3] - some[:3]).abs().mean()
    torch.testing.assert_close(got, expected)
    got.backward()
    assert model.linear.weight.grad is not None
    assert torch.isfinite(model.linear.weight.grad).all()


@pytest.mark.parametrize("spec", [CTC(), MultiTask()])
def test_model_must_offer_what_the_loss_asks_for(spec: Loss, batch: Batch) -> None:
    with pytest.raises(UserError, match="Linear cannot be trained with it"):
        loss_of(spec, Linear(), batch, WEIGHTS)


@pytest.mark.parametrize(("spec", "network"), [(CTC(), Stepwise), (MultiTask(), Estimator)])
def test_losses_that_cannot_centre_by_voice_refuse_episodes(
    spec: Loss, network: type[Linear]
) -> None:
    model = network()
    spec.check(model)
    model.centre(4)
    with pytest.raises(UserError, match=r"takes no episodes.*--set episodes=null"):
        spec.check(model)
    CrossEntropy().check(model)


@pytest.mark.parametrize(
    ("spec", "network"), [(CrossEntropy(), Linear), (CTC(), Stepwise), (MultiTask(), Estimator)]
)
def test_teacher_who_agrees_adds_nothing(spec: Loss, network: type[Linear], batch: Batch) -> None:
    model = network()
    term = Distillation(weight=0.4, temperature=3.0)
    with pytest.raises(UserError, match="teacher"):
        loss_of(spec, model, batch, WEIGHTS, term)
    hard = loss_of(spec, model, batch, WEIGHTS)
    other = batch._replace(teacher=torch.randn(12, 4))
    assert float(loss_of(spec, model, other, WEIGHTS, term).detach()) > 0.6 * float(hard.detach())
    if isinstance(spec, CrossEntropy):
        agreed = batch._replace(teacher=model(batch.features, batch.frames).detach())
        torch.testing.assert_close(loss_of(spec, model, agreed, WEIGHTS, term), 0.6 * hard)


@pytest.mark.parametrize(
    ("spec", "network"), [(CrossEntropy(), Linear), (CTC(), Stepwise), (MultiTask(), Estimator)]
)
def test_a_class_that_a_corpus_lacks_gets_no_gradient(
    spec: Loss, network: type[Linear], batch: Batch
) -> None:
    """Neither from the labels nor from a teacher, who may think it likely."""
    model = network()
    lacking = 2
    batch = batch._replace(
        targets=torch.eye(4)[torch.tensor([0, 1, 3] * 4)],
        class_mask=(torch.arange(4) != lacking).expand(12, 4),
        teacher=5 * torch.eye(4)[[lacking] * 12] + torch.randn(12, 4),
    )
    loss = loss_of(spec, model, batch, WEIGHTS, Distillation(weight=0.5))
    assert float(loss.detach()) < 20
    loss.backward()
    assert model.linear.bias.grad is not None
    assert abs(float(model.linear.bias.grad[lacking])) < 1e-6
    assert abs(float(model.linear.bias.grad[0])) > 1e-3
    told_less = batch._replace(
        teacher=batch.teacher.index_fill(1, torch.tensor(lacking), -9.0)  # type: ignore[union-attr]
    )
    other = loss_of(spec, model, told_less, WEIGHTS, Distillation(weight=0.5))
    torch.testing.assert_close(other, loss)


def test_divergence() -> None:
    torch.manual_seed(4)
    student, teacher = torch.randn(6, 4), torch.randn(6, 4)
    assert float(divergence(student, student + 5.0, 2.0)) == pytest.approx(0, abs=1e-6)
    p, q = torch.softmax(teacher / 2, dim=1), torch.softmax(student / 2, dim=1)
    torch.testing.assert_close(
        divergence(student, teacher, 2.0), 4 * (p * (p / q).log()).sum(dim=1).mean()
    )


def test_losses_are_data() -> None:
    for spec in (CrossEntropy(weighting=(1.0, 2.0)), *(loss() for loss in LOSSES.values())):
        written = msgspec.json.encode(spec)
        assert msgspec.json.decode(written, type=Loss, dec_hook=by_name) == spec
    for bad, said in (
        (b'{"name": "cross-entropy", "label_smoothing": 1}', "label_smoothing"),
        (b'{"name": "ctc", "gamma": 1}', "loss ctc: Object contains unknown field `gamma`"),
        (b'"ctc"', "loss: expected an object with a name"),
    ):
        with pytest.raises(msgspec.ValidationError, match=said):
            msgspec.json.decode(bad, type=Loss, dec_hook=by_name)
    with pytest.raises(UserError, match="no loss 'hinge'; there is cross-entropy, focal"):
        msgspec.json.decode(b'{"name": "hinge"}', type=Loss, dec_hook=by_name)
