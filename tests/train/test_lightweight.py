"""The lightweight model: the paper's sizes, and padding that never matters."""

from __future__ import annotations

import pytest
import torch

from edgeser_train.models.lightweight import Lightweight, LightweightConfig, SharedBiGRU

ATTENTION = 258


@pytest.fixture(scope="module")
def model() -> Lightweight:
    torch.manual_seed(0)
    model = Lightweight(LightweightConfig(blocks=2))
    for parameter in model.parameters():
        if parameter.ndim == 1:
            torch.nn.init.normal_(parameter, std=0.3)  # biases make padded frames non-zero
    model.mean.normal_()
    model.std.uniform_(0.5, 2)
    return model.eval()


@pytest.mark.parametrize("blocks", range(1, 7))
@pytest.mark.parametrize("attention", [True, False])
def test_parameters_are_those_of_the_paper(blocks: int, attention: bool) -> None:
    model = Lightweight(LightweightConfig(blocks=blocks, attention=attention))
    count = sum(p.numel() for p in model.parameters())
    assert count == 878_278 + 17_728 * (blocks - 1) - (0 if attention else ATTENTION)


def test_seven_classes_have_the_paper_s_size() -> None:
    model = Lightweight(LightweightConfig(labels=7, blocks=4))
    assert sum(p.numel() for p in model.parameters()) == 931_657


def test_seven_seconds_become_175_steps_of_2048(model: Lightweight) -> None:
    x, steps = model.convolved(torch.zeros(1, 700, 128), torch.tensor([700]))
    assert x.shape == (1, 175, 2048)
    assert steps.tolist() == [175]


@pytest.mark.parametrize("frames", [3, 4, 5, 6, 7, 8, 99, 100, 101, 102])
def test_steps_follow_the_formula(model: Lightweight, frames: int) -> None:
    x, steps = model.convolved(torch.zeros(1, frames, 128), torch.tensor([frames]))
    halved = 1 + (frames - 3) // 2
    assert x.shape[1] == int(steps) == -(-halved // 2)


@pytest.mark.parametrize("attention", [True, False])
def test_scores_do_not_depend_on_what_an_utterance_is_batched_with(attention: bool) -> None:
    torch.manual_seed(1)
    model = Lightweight(LightweightConfig(blocks=2, attention=attention)).eval()
    for parameter in model.parameters():
        if parameter.ndim == 1:
            torch.nn.init.normal_(parameter, std=0.3)
    lengths = [3, 4, 50, 51, 52, 53, 120, 131]
    features = torch.randn(len(lengths), 140, 128)
    with torch.inference_mode():
        together = model(features, torch.tensor(lengths))
        alone = torch.cat(
            [model(features[i : i + 1, :n], torch.tensor([n])) for i, n in enumerate(lengths)]
        )
    torch.testing.assert_close(together, alone, rtol=0, atol=1e-5)


def test_padding_may_be_anything(model: Lightweight) -> None:
    features = torch.randn(2, 90, 128)
    frames = torch.tensor([90, 61])
    spoilt = features.clone()
    spoilt[1, 61:] = float("nan")
    with torch.inference_mode():
        torch.testing.assert_close(model(features, frames), model(spoilt, frames))


def test_both_directions_share_one_gru() -> None:
    shared = SharedBiGRU(6, 5)
    tied = torch.nn.GRU(6, 5, batch_first=True, bidirectional=True)
    with torch.no_grad():
        for name, parameter in shared.gru.named_parameters():
            getattr(tied, name).copy_(parameter)
            getattr(tied, f"{name}_reverse").copy_(parameter)
    x = torch.randn(3, 11, 6)
    expected, _ = tied(x)
    torch.testing.assert_close(shared(x, torch.tensor([11, 11, 11])), expected)


def test_gradients_reach_every_parameter() -> None:
    model = Lightweight(LightweightConfig(blocks=1, dropout=0.2))
    model(torch.randn(4, 40, 128), torch.tensor([40, 30, 40, 21])).logsumexp(1).sum().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all(), name


def test_a_bad_configuration_is_refused() -> None:
    with pytest.raises(ValueError, match="labels >= 2"):
        LightweightConfig(labels=1)
    with pytest.raises(ValueError, match="dropout"):
        LightweightConfig(dropout=1.0)
    with pytest.raises(ValueError, match="sizes"):
        LightweightConfig(hidden=0)
