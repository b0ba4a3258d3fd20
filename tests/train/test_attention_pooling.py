"""The attention-pooling model: the paper's sizes, its three heads, and content behind the end."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from edgeser_train.models.attention_pooling import (
    AttentionHead,
    AttentionPooling,
    AttentionPoolingConfig,
    BilinearHead,
    FirstLayer,
)
from tests.train.graphs import assert_onnx_agrees, spoilt_statistics

HEADS = {"gap": 93_492, "bilinear": 118_772, "attention": 93_573}
VARIANTS: list[dict[str, Any]] = [
    {"head": "gap"},
    {"head": "bilinear"},
    {"head": "attention"},
    {"head": "attention", "attn_norm": "none_mean", "pools": (1, 2, 3)},
]


def small(**fields: Any) -> AttentionPooling:
    """A network over few bins whose attention is not flat."""
    model = spoilt_statistics(AttentionPooling(AttentionPoolingConfig(bins=24, **fields)))
    if isinstance(model.head, AttentionHead):
        torch.nn.init.normal_(model.head.bottom_up.weight)
    return model.eval()


@pytest.mark.parametrize("head", HEADS)
def test_parameters_are_those_of_the_paper(head: Any) -> None:
    for conv_bias, count in ((True, HEADS[head]), (False, HEADS[head] - 240)):
        model = AttentionPooling(AttentionPoolingConfig(head=head, conv_bias=conv_bias))
        assert sum(p.numel() for p in model.parameters()) == count


def test_two_seconds_become_80_channels_of_100_by_50() -> None:
    model = AttentionPooling(AttentionPoolingConfig()).eval()
    shapes: list[tuple[int, ...]] = []
    for layer in model.layers[1:]:
        layer.register_forward_pre_hook(lambda _, x: shapes.append(tuple(x[0].shape[1:])))
    with torch.inference_mode():
        x = model.convolved(torch.zeros(1, 200, 400), torch.tensor([200]))
    assert shapes == [(16, 200, 400), (32, 100, 200), (48, 50, 100), (64, 50, 100)]
    assert x.shape == (1, 80, 50, 100)


def test_filters_along_time_and_frequency_keep_the_size() -> None:
    first = AttentionPooling(AttentionPoolingConfig()).layers[0]
    assert isinstance(first, FirstLayer)
    assert first.along_frequency.weight.shape == (8, 1, 2, 10)
    assert first.along_time.weight.shape == (8, 1, 8, 2)
    torch.nn.init.ones_(first.along_frequency.weight)
    torch.nn.init.ones_(first.along_time.weight)
    first.norm = torch.nn.Identity()  # type: ignore[assignment]
    x = torch.zeros(1, 1, 20, 30)
    x[0, 0, 10, 15] = 1
    with torch.inference_mode():
        y = first(x)
    assert y.shape == (1, 16, 20, 30)
    frames, bins = y[0, 0].nonzero().T
    assert (frames.min(), frames.max(), bins.min(), bins.max()) == (9, 10, 10, 19)
    frames, bins = y[0, 8].nonzero().T
    assert (frames.min(), frames.max(), bins.min(), bins.max()) == (6, 13, 14, 15)


def test_attention_sums_to_one_and_starts_as_the_mean() -> None:
    fresh = AttentionPooling(AttentionPoolingConfig()).head
    assert isinstance(fresh, AttentionHead)
    x = torch.randn(2, 80, 5, 7)
    torch.testing.assert_close(fresh(x), fresh.top_down(x).mean((2, 3)))
    torch.nn.init.normal_(fresh.bottom_up.weight)
    weights = fresh.weights(x)
    assert weights.shape == (2, 1, 35)
    torch.testing.assert_close(weights.sum(2), torch.ones(2, 1))
    expected = (fresh.top_down(x).flatten(2) * weights).sum(2)
    torch.testing.assert_close(fresh(x), expected)


def test_attention_without_norm_is_the_mean_of_products() -> None:
    head = AttentionHead(AttentionPoolingConfig(attn_norm="none_mean"))
    x = torch.randn(2, 80, 5, 7)
    torch.testing.assert_close(head(x), (head.top_down(x) * head.bottom_up(x)).mean((2, 3)))


def test_bilinear_pooling_is_a_signed_root_of_length_one() -> None:
    x = torch.randn(2, 80, 5, 7)
    products = torch.einsum("bcij,bdij->bcd", x, x).flatten(1) / 35
    rooted = products.sign() * products.abs().sqrt()
    expected = rooted / rooted.norm(dim=1, keepdim=True)
    head = BilinearHead(AttentionPoolingConfig())
    torch.testing.assert_close(head.products(x), expected)


@pytest.mark.parametrize("fields", VARIANTS)
def test_content_behind_the_end_never_matters(fields: dict[str, Any]) -> None:
    model = small(**fields)
    frames = torch.tensor([60, 41, 7, 60])
    features = torch.randn(4, 60, 24)
    spoilt = features.clone()
    spoilt[1, 41:] = float("nan")
    zeros = torch.zeros(1, 60, 24)
    zeros[0, :7] = features[2, :7]
    with torch.inference_mode():
        together = model(features, frames)
        torch.testing.assert_close(together, model(spoilt, frames))
        alone = model(zeros, torch.tensor([7]))
    torch.testing.assert_close(together[2:3], alone, rtol=1e-5, atol=1e-5)


def test_padding_counts_as_zeros_of_the_paper() -> None:
    model = small()
    model.mean.zero_()
    model.std.fill_(1)
    features = torch.zeros(1, 60, 24)
    features[0, :30] = torch.rand(30, 24)
    with torch.inference_mode():
        torch.testing.assert_close(
            model(features, torch.tensor([30])), model(features, torch.tensor([60]))
        )


@pytest.mark.parametrize("fields", VARIANTS)
def test_the_graph_says_the_same_at_other_lengths_and_batches(fields: dict[str, Any]) -> None:
    assert_onnx_agrees(small(**fields), lengths=(8, 57, 130, 200))


@pytest.mark.parametrize("fields", VARIANTS)
def test_gradients_reach_every_parameter(fields: dict[str, Any]) -> None:
    config = AttentionPoolingConfig(bins=24, dropout=0.1, **fields)
    model = AttentionPooling(config)
    model(torch.randn(4, 40, 24), torch.tensor([40, 30, 40, 21])).logsumexp(1).sum().backward()
    softmax = config.attn_norm == "softmax_sum"
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all(), name
        # A softmax takes its bias out again.
        assert parameter.grad.any() or (softmax and name == "head.bottom_up.bias"), name


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"labels": 1}, "labels >= 2"),
        ({"bins": 7}, "bins >= 8"),
        ({"head": "max"}, "gap, bilinear, attention"),
        ({"attn_norm": "softmax"}, "softmax_sum, none_mean"),
        ({"pools": (2, 4)}, "layers from 1 to 3"),
        ({"pools": (2, 2)}, "once"),
        ({"dropout": -0.1}, "dropout"),
    ],
)
def test_a_bad_configuration_is_refused(fields: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        AttentionPoolingConfig(**fields)
