"""The streaming network: in pieces or whole, a sound has the same logits."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from edgeser.features.baseline import Baseline
from edgeser.features.frames import raw_frames
from edgeser.features.front_end import Floats
from edgeser.model.golden import waveform
from edgeser_train.data.front_ends import STREAM
from edgeser_train.models.streaming import Streaming, StreamingConfig
from edgeser_train.training.recipes import recipe_of


@pytest.fixture(scope="module")
def model() -> Streaming:
    torch.manual_seed(0)
    model = Streaming(StreamingConfig())
    for parameter in model.parameters():
        if parameter.ndim == 1:
            torch.nn.init.normal_(parameter, std=0.3)
    model.mean.normal_()
    model.std.uniform_(5, 10)
    return model.eval()


def streamed(model: Streaming, features: Tensor, cuts: list[int]) -> Tensor:
    """Logits of features (frames, width) that come in pieces which begin at ``cuts``.

    Of a piece that ends within a step, the rest waits for the next.
    """
    state, done = model.first_state(1), 0
    votes, weights = [], []
    for end in [*sorted(cuts), len(features)]:
        due = (end - done) // model.stride * model.stride
        if not due:
            continue
        heard = model.stream(features[None, done : done + due], state)
        state, done = heard.state, done + due
        votes.append(heard.votes[0])
        weights.append(heard.weights[0])
    every, weight = torch.cat(votes), torch.cat(weights)
    return (weight[:, None] * every).sum(dim=0) / weight.sum()


@pytest.fixture(scope="module")
def spoken() -> Floats:
    """Raw frames of three seconds."""
    return raw_frames(waveform(3, 3.0), STREAM)


@settings(max_examples=40)
@given(st.data())
def test_logits_are_the_same_in_any_pieces(model: Streaming, data: st.DataObject) -> None:
    frames = data.draw(st.integers(model.min_frames, 360))
    cuts = data.draw(st.lists(st.integers(1, frames), max_size=12))
    torch.manual_seed(frames)
    features = 8 * torch.randn(frames, model.config.width)
    with torch.inference_mode():
        whole = model(features[None], torch.tensor([frames]))[0]
        torch.testing.assert_close(streamed(model, features, cuts), whole, rtol=0, atol=1e-4)


@settings(max_examples=40)
@given(first=st.integers(1, 149), length=st.integers(50, 150), known=st.booleans())
def test_features_of_a_segment_are_the_same_whatever_follows(
    spoken: Floats, first: int, length: int, known: bool
) -> None:
    frames = spoken[:length]
    baseline = STREAM.heard(spoken[::-1]) if known else None
    whole = STREAM.normalised(frames, baseline)
    np.testing.assert_array_equal(in_two(frames, min(first, len(frames)), baseline), whole)


def in_two(frames: Floats, first: int, baseline: Baseline | None) -> Floats:
    """The features of frames of which some are heard later, when the first second is over."""
    reference = STREAM.reference(frames[: max(first, STREAM.own_frames)], baseline)
    parts = (frames[:first], frames[first:])
    return np.concatenate([STREAM.against(reference, part) for part in parts])


def test_what_comes_later_changes_no_step(model: Streaming) -> None:
    features = torch.randn(1, 100, 64)
    other = features.clone()
    other[:, 50:] = 70.0
    with torch.inference_mode():
        first, second = (model.stream(x, model.first_state(1)) for x in (features, other))
    torch.testing.assert_close(first.votes[:, :10], second.votes[:, :10], rtol=0, atol=0)
    assert not torch.equal(first.votes[:, 10:], second.votes[:, 10:])


def test_scores_do_not_depend_on_what_an_utterance_is_batched_with(model: Streaming) -> None:
    lengths = [5, 6, 49, 50, 54, 119]
    features = torch.randn(len(lengths), 119, 64)
    spoilt = features.clone()
    for row, n in zip(spoilt, lengths, strict=True):
        row[n:] = float("nan")
    with torch.inference_mode():
        together = model(spoilt, torch.tensor(lengths))
        alone = torch.cat(
            [model(features[i : i + 1, :n], torch.tensor([n])) for i, n in enumerate(lengths)]
        )
    torch.testing.assert_close(together, alone, rtol=0, atol=1e-5)


def test_a_second_takes_ten_steps_and_less_than_ten_million_multiply_adds(
    model: Streaming,
) -> None:
    products = 0

    def count(layer: torch.nn.Module, _: object, output: Tensor) -> None:
        nonlocal products
        weights = layer.weight
        assert isinstance(weights, Tensor)
        products += output.numel() * weights[0].numel()

    layers = [m for m in model.modules() if isinstance(m, torch.nn.Conv2d | torch.nn.Linear)]
    hooks = [layer.register_forward_hook(count) for layer in layers]
    with torch.inference_mode():
        votes = model.stream(torch.randn(1, 50, 64), model.first_state(1)).votes
    for hook in hooks:
        hook.remove()
    gru = model.gru
    products += 10 * 3 * gru.hidden_size * (gru.input_size + gru.hidden_size)
    assert votes.shape == (1, 10, 4)
    assert products < 10e6


def test_gradients_reach_every_parameter() -> None:
    model = Streaming(StreamingConfig(blocks=1, dropout=0.2))
    model(torch.randn(4, 40, 64), torch.tensor([40, 30, 40, 21])).logsumexp(1).sum().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all(), name


@pytest.mark.parametrize("name", ["edgeser", "voices"])
def test_a_recipe_streams(name: str) -> None:
    recipe = recipe_of("streaming", name)
    assert recipe.front_end.streams
    assert recipe.window.cut == "whole"
    assert all(length > recipe.front_end.own_frames for length in recipe.crop_frames)


def test_a_bad_configuration_is_refused() -> None:
    with pytest.raises(ValueError, match="labels >= 2"):
        StreamingConfig(labels=1)
    with pytest.raises(ValueError, match="dropout"):
        StreamingConfig(dropout=1.0)
    with pytest.raises(ValueError, match="sizes"):
        StreamingConfig(hidden=0)
