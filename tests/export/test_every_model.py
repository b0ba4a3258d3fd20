"""Every model that can be trained leaves training as a graph that computes the same."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import onnx
import pytest
import torch

from edgeser.features.front_end import Floats
from edgeser.features.pieces import batch_of
from edgeser.model.artefact import WindowPolicy
from edgeser.model.golden import waveform
from edgeser.model.model import Model, load_model
from edgeser_export import verify
from edgeser_export.golden import Network
from edgeser_export.graph import onnx_graph
from edgeser_export.onnx_export import export
from edgeser_export.verify import Difference, torch_logits
from edgeser_train.models.scoring import utterance_logits
from edgeser_train.models.speech_model import SpeechModel
from edgeser_train.training.checkpoint import Origin
from tests.export.models import NAMES, RELEASE, small


class Exported(NamedTuple):
    model: SpeechModel
    origin: Origin
    difference: Difference
    running: Model


@pytest.fixture(scope="module", params=NAMES)
def exported(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Exported:
    model, origin = small(request.param)
    path = tmp_path_factory.mktemp("exported") / f"{request.param}.onnx"
    difference = export(model, origin, path, RELEASE)
    return Exported(model, origin, difference, load_model(str(path)))


def noise(rng: np.random.Generator, model: SpeechModel, shape: tuple[int, ...]) -> Floats:
    """Features distributed as those that the model has seen."""
    mean, std = model.mean.numpy(), model.std.numpy()
    return mean + std * rng.standard_normal((*shape, len(mean)), np.float32)


def network_of(exported: Exported) -> Network:
    path, streaming = exported.running.artefact.path, exported.running.info.streaming
    return verify.network_of(path.read_bytes(), streaming)


def test_the_graph_equals_pytorch(exported: Exported) -> None:
    """``export`` compares eleven shapes and more; here are a batch of 1 and of 4 besides."""
    assert exported.difference.value < 1e-4
    run = network_of(exported)
    model, rng = exported.model, np.random.default_rng(5)
    for batch, length in ((1, model.min_frames), (1, 51), (4, 97)):
        features = noise(rng, model, (batch, max(length, model.min_frames)))
        frames = np.full(batch, features.shape[1])
        found = run(features, frames)
        expected = torch_logits(model, features, frames)
        np.testing.assert_allclose(found, expected, atol=1e-4, rtol=1e-6)


def test_scores_alone_equal_those_in_a_padded_batch(exported: Exported) -> None:
    model, policy = exported.model, exported.origin.recipe.window
    rng = np.random.default_rng(0)
    lengths = rng.integers(model.min_frames, min(policy.frames or 60, 200) + 1, 4)
    pieces = [noise(rng, model, (n,)) for n in lengths]
    features, frames = batch_of(pieces, policy.pad_frames)
    for row, count in zip(features, frames, strict=True):
        row[count:] = -33.0
    run = network_of(exported)
    together = run(features, frames)
    for piece, logits in zip(pieces, together, strict=True):
        (alone,) = run(*batch_of([piece], policy.pad_frames))
        np.testing.assert_allclose(alone, logits, atol=1e-4, rtol=1e-6)


def test_the_runtime_scores_a_file_as_the_evaluation_does(exported: Exported) -> None:
    model, origin, _, running = exported
    sound = waveform(9, 2.7)
    found = running.scores([running.pieces(sound)])[0]
    recipe = origin.recipe
    logits = utterance_logits(model, [sound], recipe.front_end, recipe.window)[0]
    expected = torch.softmax(
        torch.from_numpy(logits) / RELEASE.calibration.temperature, dim=0
    ).numpy()
    np.testing.assert_allclose(found, expected, atol=1e-3)


def test_recurrent_weights_are_stored_once() -> None:
    model, _ = small("lightweight")
    graph = onnx_graph(model).graph
    (gru,) = [node for node in graph.node if node.op_type == "GRU"]
    held = {t.name: onnx.numpy_helper.to_array(t) for t in graph.initializer}
    hidden, inputs = model.gru.gru.hidden_size, model.gru.gru.input_size
    assert gru.input[1] not in held  # an identity, made when the graph is loaded
    assert held[gru.input[2]].shape == (1, 3 * hidden, hidden)
    sizes = [array.size for array in held.values()]
    assert sizes.count(3 * hidden * hidden) == 1
    assert sizes.count(3 * hidden * inputs) == 1


def test_padded_frames_are_those_of_the_policy() -> None:
    pieces = [np.ones((n, 2), np.float32) for n in (7, 12)]
    features, frames = batch_of(pieces, WindowPolicy().pad_frames)
    assert features.shape == (2, 50, 2)
    assert frames.tolist() == [7, 12]
    assert (features[0, 7:] == 0).all()
