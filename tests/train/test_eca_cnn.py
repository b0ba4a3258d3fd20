"""The eca-cnn model: the paper's sizes and attention, and padding that never matters."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from edgeser_train.models.eca_cnn import ChannelAttention, EcaCnn, EcaCnnConfig
from tests.train.graphs import assert_onnx_agrees, spoilt_statistics

WITHOUT_BIAS = {
    1: 171_796,
    2: 684_580,
    3: 1_538_356,
    4: 2_733_124,
    5: 4_268_884,
    6: 6_145_636,
    7: 8_363_380,
    8: 10_922_116,
}
BIASES = 336  # of the convolutions at n = 1


def parameters(**fields: Any) -> int:
    with torch.device("meta"):
        return sum(p.numel() for p in EcaCnn(EcaCnnConfig(**fields)).parameters())


@pytest.fixture(scope="module")
def model() -> EcaCnn:
    return spoilt_statistics(EcaCnn(EcaCnnConfig(n=1, eca=(1, 3, 5, 6)))).eval()


@pytest.mark.parametrize("n", WITHOUT_BIAS)
def test_parameters_are_those_of_the_paper(n: int) -> None:
    assert parameters(n=n, eca=()) == WITHOUT_BIAS[n]
    assert parameters(n=n, eca=(), conv_bias=True) == WITHOUT_BIAS[n] + n * BIASES
    assert parameters(n=n) == WITHOUT_BIAS[n] + 14


def test_the_original_attention_adds_28_by_its_rule_and_18_of_size_three() -> None:
    everywhere = (1, 2, 3, 4, 5, 6)
    assert parameters(eca=everywhere, kernel="adaptive") == WITHOUT_BIAS[4] + 28
    assert parameters(eca=everywhere, kernel=3) == WITHOUT_BIAS[4] + 18


def test_six_seconds_pass_the_stages_of_the_paper() -> None:
    shapes: list[tuple[int, ...]] = []
    model = EcaCnn(EcaCnnConfig()).eval()
    for layer in model.layers[1:]:
        layer.register_forward_pre_hook(lambda _, x: shapes.append(tuple(x[0].shape[1:])))
    with torch.inference_mode():
        pooled = model.pooled(torch.zeros(1, 600, 64), torch.tensor([600]))
    assert shapes == [(64, 300, 32), (128, 150, 16), (192, 75, 8), (256, 37, 4), (320, 18, 2)]
    assert pooled.shape == (1, 384)


def test_a_full_window_is_the_plain_network() -> None:
    model = spoilt_statistics(EcaCnn(EcaCnnConfig(n=1))).eval()
    x = torch.randn(3, 96, 64)
    with torch.inference_mode():
        y = ((x - model.mean) / model.std)[:, None]
        for i, layer in enumerate(model.layers, start=1):
            y = layer.norm(layer.conv(y)).relu()
            if i >= 5:
                y = y * model.attentions[str(i)](y.mean((2, 3), keepdim=True))
            y = torch.nn.functional.avg_pool2d(y, 2) if i < 6 else y.mean((2, 3))
        expected = model.head(y)
        torch.testing.assert_close(model(x, torch.tensor([96, 96, 96])), expected)


def test_attention_is_the_sigmoid_of_neighbouring_channels() -> None:
    attention = ChannelAttention(3)
    means = torch.randn(2, 5, 1, 1)
    padded = torch.nn.functional.pad(means.flatten(1), (1, 1))
    w = attention.conv.weight.flatten()
    expected = torch.sigmoid(w[0] * padded[:, :-2] + w[1] * padded[:, 1:-1] + w[2] * padded[:, 2:])
    torch.testing.assert_close(attention(means).flatten(1), expected)


def test_scores_do_not_depend_on_what_an_utterance_is_batched_with(model: EcaCnn) -> None:
    lengths = [32, 33, 47, 63, 64, 95, 96, 127, 130]
    features = torch.randn(len(lengths), 135, 64)
    with torch.inference_mode():
        together = model(features, torch.tensor(lengths))
        alone = torch.cat(
            [model(features[i : i + 1, :n], torch.tensor([n])) for i, n in enumerate(lengths)]
        )
    torch.testing.assert_close(together, alone, rtol=1e-5, atol=1e-5)


def test_padding_may_be_anything(model: EcaCnn) -> None:
    features = torch.randn(2, 90, 64)
    frames = torch.tensor([90, 61])
    spoilt = features.clone()
    spoilt[1, 61:] = float("nan")
    with torch.inference_mode():
        torch.testing.assert_close(model(features, frames), model(spoilt, frames))


@pytest.mark.parametrize("kernel", [7, "adaptive"])
def test_the_graph_says_the_same_at_other_lengths_and_batches(kernel: Any) -> None:
    model = EcaCnn(EcaCnnConfig(labels=5, n=1, eca=(1, 2, 3, 4, 5, 6), kernel=kernel))
    assert_onnx_agrees(spoilt_statistics(model), lengths=(32, 101, 250, 600))


def test_gradients_reach_every_parameter() -> None:
    model = EcaCnn(EcaCnnConfig(n=1, conv_bias=True, dropout=0.2))
    model(torch.randn(4, 80, 64), torch.tensor([80, 33, 70, 64])).logsumexp(1).sum().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all(), name
        assert parameter.grad.any(), name


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"labels": 1}, "labels >= 2"),
        ({"n": 0}, "n >= 1"),
        ({"mels": 31}, "mels >= 32"),
        ({"eca": (5, 7)}, "layers from 1 to 6"),
        ({"eca": (5, 5)}, "once"),
        ({"kernel": 4}, "odd"),
        ({"dropout": 1.0}, "dropout"),
    ],
)
def test_a_bad_configuration_is_refused(fields: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        EcaCnnConfig(**fields)
