"""The beginning of Moonshine's encoder: its own weights, masks, what is learnt, its graph."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import msgspec
import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch
from click.testing import CliRunner
from torch.nn import functional as F
from torch.optim.swa_utils import AveragedModel

from edgeser.cli import main
from edgeser.errors import UserError
from edgeser.model.golden import waveform
from edgeser_export.graph import onnx_graph
from edgeser_export.onnx_export import check_precision
from edgeser_train.models import moonshine, moonshine_weights
from edgeser_train.models.integer_weights import IntegerWeights, in_integers
from edgeser_train.models.layers import WeightedPooling
from edgeser_train.models.moonshine import Moonshine, MoonshineConfig
from edgeser_train.models.moonshine_encoder import MoonshineEncoder
from edgeser_train.models.moonshine_weights import pretrained_weights
from edgeser_train.training.optimiser import optimiser_of
from edgeser_train.training.recipe import Optimiser
from edgeser_train.training.training import _moving_average
from tests.train.synthetic import make_manifest

TINY = MoonshineConfig(
    pretrained=None, layers=2, hidden=32, rank=24, heads=2, feed_forward=48, rotary=8
)


class Pretrained(Moonshine):
    """As one that began with the package's weights."""

    def pretrained(self) -> list[torch.nn.Parameter]:
        return list(self.encoder.parameters())


def tiny() -> Moonshine:
    torch.manual_seed(0)
    model = Moonshine(TINY)
    torch.nn.init.normal_(model.classify.weight)
    return model.eval()


def test_its_first_layers_are_those_of_the_package() -> None:
    """The whole encoder, as far as integers of both kinds allow: theirs round activations, too."""
    package = find_spec("moonshine_voice")
    assert package is not None
    assert package.origin is not None
    path = Path(package.origin).parent / "assets" / "tiny-en" / "encoder_model.ort"
    sound = waveform(3, 2.0).astype(np.float32) / 32768
    session = ort.InferenceSession(str(path))
    mask = np.ones((1, len(sound)), np.int64)
    (theirs,) = session.run(None, {"input_values": sound[None], "attention_mask": mask})
    graph = moonshine_weights._Graph(path.read_bytes())
    encoder = MoonshineEncoder(MoonshineConfig(pretrained=None, layers=7, rank=576)).eval()
    del encoder.layers[6:]  # so that the sixth has all of its own
    state = dict(moonshine_weights._stem(graph, rank=576))
    for i in range(6):
        state.update(moonshine_weights._layer(graph, i, last=False))
    encoder.load_state_dict(state)
    frames = torch.tensor([len(sound) // 320])
    with torch.no_grad():
        h, steps = encoder(torch.from_numpy(sound)[None], frames)
        ours = F.layer_norm(h, (288,), graph.tensor(graph.of("SkipLayerNormalization")[2]))
    assert ours.shape == theirs.shape
    assert steps.tolist() == [theirs.shape[1]]
    assert np.corrcoef(ours.flatten(), theirs.flatten())[0, 1] > 0.97


def test_the_installed_weights_are_taken() -> None:
    model = Moonshine(MoonshineConfig())
    before = model.encoder.conv1.clone()
    model.prepare([])
    assert not torch.equal(model.encoder.conv1, before)
    size = sum(x.numel() * x.element_size() for x in model.state_dict().values())
    assert size < 3.9e6


def test_what_lies_behind_an_end_does_not_matter() -> None:
    model, features = tiny(), torch.randn(3, 90, 321)
    frames = torch.tensor([90, 41, 3])
    with torch.no_grad():
        together = model(features, frames)
        alone = [model(features[i : i + 1, :n], frames[i : i + 1]) for i, n in enumerate(frames)]
    torch.testing.assert_close(together, torch.cat(alone), atol=1e-5, rtol=0)


def test_by_default_only_the_classifier_learns() -> None:
    model = tiny().train()
    assert {name for name, _ in model.named_parameters()} == {"classify.weight", "classify.bias"}
    model(torch.randn(2, 30, 321), torch.tensor([30, 20])).sum().backward()  # type: ignore[no-untyped-call]
    assert model.classify.weight.grad is not None


def test_weights_that_do_not_learn_are_counted_too(tmp_path: Path) -> None:
    mine = make_manifest(tmp_path)
    words = ("train", "--model", "moonshine", "--corpus", f"manifest={mine}", "--dry-run")
    done = CliRunner().invoke(main, [*words, "-o", str(tmp_path / "run")])
    assert "moonshine, 3,697,096 parameters" in done.output  # 1,328,552 of them learn


def learning(layers: int) -> Moonshine:
    """As ``tiny``, of whose layers the last ones learn."""
    torch.manual_seed(0)
    model = Pretrained(msgspec.structs.replace(TINY, learnt=layers, attention=True))
    model.encoder.take(tiny().encoder.state_dict())
    model.classify.load_state_dict(tiny().classify.state_dict())
    return model


def test_its_last_layers_learn_and_begin_as_they_were() -> None:
    features, frames = torch.randn(3, 60, 321), torch.tensor([60, 41, 7])
    model = learning(1)
    torch.testing.assert_close(model(features, frames), tiny()(features, frames))
    model.train()(features, frames).square().sum().backward()  # type: ignore[no-untyped-call]
    learnt = {name.rpartition(".")[0] for name, _ in model.encoder.named_parameters()}
    assert learnt == {f"layers.1.{part}" for part in ("query", "key", "value", "output")}
    for parameter in (*model.pretrained(), *model.pooling.parameters()):
        assert parameter.grad is not None
        assert bool(parameter.grad.any())
    assert len(learning(2).pretrained()) == 4 + 6
    config = msgspec.structs.replace(MoonshineConfig(), learnt=2)
    assert len(Moonshine(config).pretrained()) == 4 + 6
    assert not Moonshine(msgspec.structs.replace(config, pretrained=None)).pretrained()


def test_steps_are_weighted_by_learnt_scores_with_attention() -> None:
    pooling, h = WeightedPooling(2), torch.tensor([[[1.0, 5.0], [3.0, 7.0], [9.0, 9.0]]])
    counts = torch.tensor([[True, True, False]])
    torch.testing.assert_close(pooling(h, counts), torch.tensor([[2.0, 6.0]]))
    with torch.no_grad():
        pooling.score.weight.copy_(torch.tensor([[0.5, 0.0]]))
    share = torch.e / (1 + torch.e)
    torch.testing.assert_close(pooling(h, counts), torch.tensor([[1 + 2 * share, 5 + 2 * share]]))


def test_pretrained_weights_wait_and_then_learn_more_slowly() -> None:
    model = learning(1)
    spec = Optimiser(learning_rate=0.01, warm_up=0, pretrained_rate=0.1, pretrained_after=0.5)
    made = optimiser_of(model, spec, 10, 1)
    optimiser, schedule = made["optimizer"], made["lr_scheduler"]["scheduler"]
    before = [p.clone() for p in model.pretrained()]
    rates: dict[bool, list[float]] = {True: [], False: []}
    for step in range(10):
        loss = model(torch.randn(2, 30, 321), torch.tensor([30, 20])).square().sum()
        optimiser.zero_grad()
        loss.backward()
        for is_pretrained in rates:
            (rate,) = {
                group["lr"]
                for group in optimiser.param_groups
                if (group["params"][0] is model.pretrained()[0]) == is_pretrained
            }
            rates[is_pretrained].append(rate)
        optimiser.step()
        schedule.step()
        moved = not all(map(torch.equal, before, model.pretrained()))
        assert moved == (step >= 5)
    assert rates[True][:6] == [0, 0, 0, 0, 0, pytest.approx(0.001)]
    assert rates[False][0] == pytest.approx(0.01)
    assert rates[False] == sorted(rates[False], reverse=True)
    assert rates[True][5:] == sorted(rates[True][5:], reverse=True)


def test_trained_layers_are_rounded_in_the_graph_as_in_training() -> None:
    model = learning(2)
    with torch.no_grad():
        for parameter in (*model.pretrained(), *model.pooling.parameters()):
            parameter += 0.05 * torch.randn_like(parameter)
    features, frames = torch.randn(2, 60, 321), torch.tensor([60, 41])
    graph = onnx_graph(model.eval())
    session = ort.InferenceSession(graph.SerializeToString())
    given = {"features": features.numpy(), "frames": frames.numpy()}
    with torch.no_grad():
        expected = model(features, frames)
    np.testing.assert_allclose(session.run(["logits"], given)[0], expected, atol=1e-4)
    assert not torch.allclose(expected, tiny()(features, frames), atol=1e-3)
    held = {t.name: t.data_type for t in graph.graph.initializer}
    assert sum(kind == onnx.TensorProto.INT8 for kind in held.values()) == 3 + 4 + 6


def test_a_moving_average_leaves_integers_alone() -> None:
    model = learning(1)
    averaged = AveragedModel(model, avg_fn=_moving_average(0.9), use_buffers=True)
    for _ in range(3):
        with torch.no_grad():
            model.classify.weight += 1
        averaged.update_parameters(model)
    now, mean = model.state_dict(), averaged.module.state_dict()
    integers = [name for name, value in now.items() if value.dtype == torch.int8]
    assert len(integers) == 3 + 6
    assert all(torch.equal(now[name], mean[name]) for name in integers)
    torch.testing.assert_close(mean["classify.weight"], now["classify.weight"] - (0.9 + 0.81))


def test_weights_keep_seven_bits_and_a_sign() -> None:
    weights = torch.randn(5, 4, 3)
    integers, scale = in_integers(weights)
    assert integers.dtype == torch.int8
    assert int(integers.abs().max()) == 127
    assert ((integers.float() * scale - weights).abs() <= scale / 2 + 1e-7).all()
    kept = IntegerWeights(6, 4)
    assert kept().shape == (6, 4)


def test_its_graph_keeps_them_in_integers() -> None:
    model = Moonshine(MoonshineConfig(pretrained=None))
    assert len(onnx_graph(model).SerializeToString()) < 4e6
    with pytest.raises(UserError, match=r"--precision fp16: .* integers already"):
        check_precision(model, "fp16")


@pytest.mark.parametrize("content", [None, b"", b"no such graph" * 100])
def test_other_files_are_refused(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "encoder_model.ort"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UserError, match=r"moonshine: .*encoder_model\.ort: ") as refused:
        pretrained_weights(str(path), 3, 320)
    assert "edgeser[moonshine]" in str(refused.value)


@pytest.mark.parametrize(
    "settings",
    [{"layers": 0}, {"heads": 7}, {"rotary": 9}, {"rotary": 38}, {"dropout": 1.0}, {"learnt": 4}],
)
def test_impossible_sizes_are_refused(settings: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="moonshine: "):
        MoonshineConfig(**settings)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "settings",
    [
        {"layers": 7},
        {"rank": 577},
        {"hidden": 32, "heads": 1},
        {"heads": 4},
        {"feed_forward": 1},
        {"rotary": 16},
    ],
)
def test_other_sizes_than_those_of_the_weights_are_refused(settings: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=r"Moonshine Tiny has .* set pretrained to null"):
        MoonshineConfig(**settings)  # type: ignore[arg-type]
    MoonshineConfig(pretrained=None, **settings)  # type: ignore[arg-type]


def test_weights_of_another_size_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    others = MoonshineEncoder(TINY).state_dict()
    monkeypatch.setattr(moonshine, "pretrained_weights", lambda *_: others)
    with pytest.raises(UserError, match=r"moonshine: moonshine-voice: not the encoder of"):
        Moonshine(MoonshineConfig()).prepare([])
