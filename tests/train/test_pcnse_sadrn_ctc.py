"""PCNSE-SADRN-CTC: the paper's sizes, every ablation, and padding that never matters."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
import torch

from edgeser.errors import UserError
from edgeser_train.data.batch import Batch
from edgeser_train.models import build
from edgeser_train.models.initialise import initialise
from edgeser_train.models.lightweight import LightweightConfig
from edgeser_train.models.pcnse_sadrn_ctc import ConvSE, PcnseSadrnCtc, PcnseSadrnCtcConfig
from edgeser_train.training.loss import Loss, loss_of
from edgeser_train.training.losses import CTC, CrossEntropy
from tests.train.graphs import assert_agrees, session
from tests.train.test_ctc import of_torch

NARROW: dict[str, Any] = {"channels": 8, "reduction": 2, "pad_frames": 60}
VARIANTS: dict[str, dict[str, Any]] = {
    "PCNSE-SADRN-CTC": {},
    "PCN": {"se": False, "back_end": "none", "output": "ce"},
    "PCNSE": {"back_end": "none", "output": "ce"},
    "PCN-SABLSTM": {"se": False, "back_end": "blstm", "output": "ce"},
    "PCNSE-SABLSTM": {"back_end": "blstm", "output": "ce"},
    "PCN-SADRN": {"se": False, "output": "ce"},
    "PCNSE-DRN max": {"attention": False, "pooling": "max", "output": "ce"},
    "PCNSE-DRN mean": {"attention": False, "output": "ce"},
    "PCNSE-SADRN": {"output": "ce"},
    "BLSTM-CTC": {"back_end": "blstm"},
    "batch norm": {"batch_norm": True},
    "two stacks": {"stacks": 2, "dilations": (1, 2, 4)},
}


def narrow(**settings: Any) -> PcnseSadrnCtc:
    """A narrow model whose biases make padding visible."""
    torch.manual_seed(0)
    model = PcnseSadrnCtc(PcnseSadrnCtcConfig(**{**NARROW, **settings}))
    for parameter in model.parameters():
        if parameter.ndim == 1:
            torch.nn.init.normal_(parameter, std=0.3)
    for module in model.modules():
        if isinstance(module, ConvSE) and module.gains is not None:
            module.gains[0].bias.data.fill_(2.0)  # so few units may all be dead by chance
    model.mean.normal_()
    model.std.uniform_(0.5, 2)
    return model.eval()


def size(**settings: Any) -> int:
    with torch.device("meta"):
        model = PcnseSadrnCtc(PcnseSadrnCtcConfig(**settings))
    return sum(p.numel() for p in model.parameters())


@pytest.mark.parametrize(
    ("settings", "count"),
    [
        ({}, 1_813_757),
        ({"labels": 5}, 1_813_886),
        ({"stacks": 2}, 2_340_093),
        ({"dilations": (1, 2, 4, 8, 16)}, 1_616_381),
        ({"attention": False}, 1_813_757 - 49_152),
        ({"output": "ce"}, 1_813_757 - 129),
        ({"back_end": "none", "output": "ce"}, 950_776 + 832 * 4 + 4),
        (
            {"se": False, "back_end": "none", "output": "ce"},
            950_776 - 5 * 1096 - 4_240 + 832 * 4 + 4,
        ),
    ],
    ids=str,
)
def test_parameters_are_those_of_the_paper(settings: dict[str, Any], count: int) -> None:
    assert size(**settings) == count


def test_parts_have_the_paper_s_sizes() -> None:
    with torch.device("meta"):
        model = PcnseSadrnCtc(PcnseSadrnCtcConfig())

    def count(part: torch.nn.Module) -> int:
        return sum(p.numel() for p in part.parameters())

    assert count(model.trunk) == 950_776
    assert count(model.trunk.branches) == 10_200
    assert [count(conv) for conv in model.trunk.convs] == [787_592, 78_096, 74_888, 0]
    assert [count(part) for part in (model.context, model.attention, model.head)] == [
        813_184,
        49_152,
        645,
    ]


def test_five_seconds_become_243_steps_of_832() -> None:
    with torch.device("meta"):
        model = PcnseSadrnCtc(PcnseSadrnCtcConfig())
        assert model.trunk(torch.zeros(1, 500, 120)).shape == (1, 243, 832)
        assert model.contextual(torch.zeros(1, 500, 120), torch.tensor([500])).shape[1:] == (
            243,
            128,
        )
    assert model.config.steps == 243
    assert model.config.width == 120


@pytest.mark.parametrize("frames", [15, 16, 59, 60, 300])
def test_other_fixed_lengths(frames: int) -> None:
    model = narrow(pad_frames=frames)
    features, lengths = torch.randn(2, frames, 120), torch.tensor([frames, 7])
    log_probs, steps = model.frame_log_probs(features, lengths)
    assert log_probs.shape == (2, model.config.steps, 5)
    assert steps.tolist() == [model.config.steps] * 2
    torch.testing.assert_close(log_probs.exp().sum(dim=2), torch.ones(2, model.config.steps))


def test_columns_are_static_delta_and_acceleration() -> None:
    """Each channel of the picture is one order: a filter that sees one ignores the others."""
    model = narrow(se=False)
    with torch.no_grad():
        for branch in model.trunk.branches:
            branch[0].conv.weight[:, 1:] = 0
    z = torch.randn(1, 60, 120)
    changed = z.clone()
    changed[:, :, 40:] += 1
    with torch.inference_mode():
        assert torch.equal(model.trunk(z), model.trunk(changed))
        changed[:, :, 39] += 1
        assert not torch.equal(model.trunk(z), model.trunk(changed))


def test_dilated_blocks_are_causal_and_hear_a_whole_utterance() -> None:
    model = narrow(pad_frames=500, dropout=0.0)
    x = torch.randn(1, 243, 8 * 13, requires_grad=True)
    y = model.context(x)
    reach = torch.autograd.grad(y[0, 200].sum(), x)[0].abs().sum(dim=(0, 2))
    assert (reach[:201] > 0).all()
    assert (reach[201:] == 0).all()


@pytest.mark.parametrize("settings", VARIANTS.values(), ids=VARIANTS.keys())
def test_scores_do_not_depend_on_what_a_piece_is_batched_with(settings: dict[str, Any]) -> None:
    model = narrow(**settings)
    lengths = [1, 2, 14, 31, 59, 60]
    features = torch.randn(len(lengths), 60, 120)
    with torch.inference_mode():
        together = model(features, torch.tensor(lengths))
        for i, n in enumerate(lengths):
            alone = model(features[i : i + 1, :n], torch.tensor([n]))
            torch.testing.assert_close(together[i : i + 1], alone, rtol=1e-6, atol=2e-5)


def test_logits_are_the_exact_scores_of_ctc() -> None:
    model = narrow(pad_frames=500)
    features, frames = torch.randn(3, 500, 120), torch.tensor([500, 320, 40])
    with torch.inference_mode():
        expected = of_torch(*model.frame_log_probs(features, frames))
        got = model(features, frames).double()
    torch.testing.assert_close(got, expected, rtol=1e-6, atol=1e-4)


@pytest.mark.parametrize("settings", VARIANTS.values(), ids=VARIANTS.keys())
def test_graph_equals_the_model(settings: dict[str, Any]) -> None:
    model = narrow(**settings)
    running = session(model)
    torch.manual_seed(1)
    for lengths in ([60], [13], [60, 44, 9, 60], [20, 3]):
        features = torch.randn(len(lengths), max(lengths), 120)
        assert_agrees(running, model, features, lengths)


@pytest.mark.parametrize("settings", VARIANTS.values(), ids=VARIANTS.keys())
def test_every_weight_is_trained(settings: dict[str, Any]) -> None:
    model = narrow(**settings).train()
    spec: Loss = CTC() if model.config.output == "ctc" else CrossEntropy()
    targets = torch.eye(4)[[0, 1, 2, 3]]
    batch = Batch.of(torch.randn(4, 60, 120), torch.full((4,), 60), targets)
    loss = loss_of(spec, model, batch, torch.ones(4))
    loss.backward()
    assert torch.isfinite(loss)
    idle = [n for n, p in model.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    assert idle == []


def test_a_piece_that_is_too_long_is_refused() -> None:
    with pytest.raises(UserError, match="61 frames, the model hears 60"):
        narrow()(torch.zeros(1, 61, 120), torch.tensor([61]))


def test_decision_of_a_whole_piece_has_no_steps() -> None:
    with pytest.raises(UserError, match="output 'ctc'"):
        narrow(output="ce").frame_log_probs(torch.zeros(1, 60, 120), torch.tensor([60]))


def test_second_stage_starts_from_the_first_one_s_trunk() -> None:
    first = narrow(back_end="none", output="ce")
    torch.manual_seed(9)
    second = PcnseSadrnCtc(PcnseSadrnCtcConfig(**NARROW))
    head = second.head.weight.clone()
    z = torch.randn(1, 60, 120)
    assert initialise(second, first) == len(first.trunk.state_dict())
    assert torch.equal(first.trunk(z), second.trunk(z))
    assert torch.equal(second.head.weight, head)
    with pytest.raises(UserError, match="differs"):
        initialise(second, narrow(channels=16))
    with pytest.raises(UserError, match=r"Lightweight .* no part 'trunk' in common; give"):
        initialise(second, build(LightweightConfig()))
    twin = PcnseSadrnCtc(PcnseSadrnCtcConfig(**NARROW))
    assert initialise(twin, second) == len(second.state_dict())
    assert torch.equal(twin.head.weight, head)


@pytest.mark.parametrize(
    "settings", [{"labels": 1}, {"mels": 14}, {"channels": 1}, {"dilations": ()}, {"dropout": 1}]
)
def test_impossible_shapes_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="pcnse-sadrn-ctc"):
        PcnseSadrnCtcConfig(**settings)


def test_it_is_known_by_name() -> None:
    config = msgspec.convert({"name": "pcnse-sadrn-ctc", **NARROW}, PcnseSadrnCtcConfig)
    assert isinstance(build(config), PcnseSadrnCtc)
