"""The exact class score of CTC, against torch's loss and against every path."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from edgeser_train.models.ctc import class_log_probs


def of_torch(log_probs: Tensor, steps: Tensor) -> Tensor:
    """-CTCLoss of every label as the only one of an utterance, in float64."""
    batch, _, units = log_probs.shape
    scores = []
    for label in range(units - 1):
        loss = F.ctc_loss(
            log_probs.double().transpose(0, 1),
            torch.full((batch, 1), label),
            steps,
            torch.ones(batch, dtype=torch.int64),
            blank=units - 1,
            reduction="none",
        )
        scores.append(-loss)
    return torch.stack(scores, dim=1)


@pytest.mark.parametrize("spread", [0.1, 1.0, 10.0, 60.0])
@pytest.mark.parametrize("time", [1, 2, 3, 64, 143, 243, 500])
def test_score_is_torch_s(time: int, spread: float) -> None:
    torch.manual_seed(time)
    log_probs = torch.log_softmax(spread * torch.randn(5, time, 5), dim=2)
    steps = torch.full((5,), time)
    torch.testing.assert_close(
        class_log_probs(log_probs, steps).double(), of_torch(log_probs, steps), rtol=1e-6, atol=1e-4
    )


def test_confident_steps_lose_nothing() -> None:
    """Blank is hopeless everywhere: the blanks' sum is -14 580, the score about 0."""
    frames = torch.zeros(1, 243, 5)
    frames[:, :, 4], frames[:, :, 1] = -30.0, 30.0
    log_probs = torch.log_softmax(frames, dim=2)
    score = class_log_probs(log_probs, torch.tensor([243]))
    assert abs(float(score[0, 1])) < 1e-4


def test_score_sums_every_path() -> None:
    torch.manual_seed(1)
    log_probs = torch.log_softmax(torch.randn(1, 4, 3), dim=2)
    total = torch.zeros(2)
    for path in itertools.product(range(3), repeat=4):
        collapsed = [unit for unit, _ in itertools.groupby(path) if unit != 2]
        if len(collapsed) == 1:
            total[collapsed[0]] += log_probs[0, torch.arange(4), torch.tensor(path)].sum().exp()
    torch.testing.assert_close(class_log_probs(log_probs, torch.tensor([4]))[0], total.log())


def test_steps_behind_the_end_do_not_count() -> None:
    torch.manual_seed(2)
    log_probs = torch.log_softmax(3 * torch.randn(3, 90, 5), dim=2)
    steps = torch.tensor([90, 17, 1])
    together = class_log_probs(log_probs, steps)
    for i, n in enumerate(steps):
        alone = class_log_probs(log_probs[i : i + 1, :n], steps[i : i + 1])
        torch.testing.assert_close(together[i : i + 1], alone, rtol=0, atol=1e-5)


def test_score_has_the_loss_s_gradient() -> None:
    torch.manual_seed(3)
    frames = torch.randn(2, 50, 5, requires_grad=True)
    steps = torch.tensor([50, 50])
    class_log_probs(torch.log_softmax(frames, dim=2), steps)[:, 2].sum().backward()
    ours = frames.grad
    frames.grad = None
    of_torch(torch.log_softmax(frames, dim=2), steps)[:, 2].sum().backward()
    assert ours is not None
    torch.testing.assert_close(ours, frames.grad, rtol=1e-4, atol=1e-6)
