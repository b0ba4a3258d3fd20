"""WavLM with global and segmental pooling: the paper's sizes, masks, weights, graph."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest
import torch

from edgeser.errors import UserError
from edgeser_train.data.batch import Batch
from edgeser_train.models import build
from edgeser_train.models.layers import SelfAttention, masked_mean
from edgeser_train.models.wavlm_sap import WavlmSap, WavlmSapConfig
from edgeser_train.training.loss import loss_of
from edgeser_train.training.losses import CrossEntropy, MultiTask
from tests.train.graphs import assert_agrees, session

pytest.importorskip("transformers", reason="transformers is not installed (extra 'wavlm')")

TINY: dict[str, Any] = {
    "pretrained": None,
    "hidden": 32,
    "layers": 2,
    "encoder_heads": 2,
    "feed_forward": 48,
    "conv_channels": 8,
    "heads": 4,
}


def tiny(**settings: Any) -> WavlmSap:
    """A tiny model with weights large enough that every step matters."""
    torch.manual_seed(0)
    model = WavlmSap(WavlmSapConfig(**{**TINY, **settings}))
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return model.eval()


def pieces(lengths: list[int]) -> tuple[torch.Tensor, torch.Tensor]:
    """Noise with speech in about half of its frames; junk behind the ends."""
    torch.manual_seed(1)
    features = torch.randn(len(lengths), max(lengths), 321)
    features[:, :, 320] = (torch.rand(features.shape[:2]) > 0.5).float()
    return features, torch.tensor(lengths)


def count(module: torch.nn.Module, trainable: bool = False) -> int:
    return sum(p.numel() for p in module.parameters() if p.requires_grad or not trainable)


def test_sizes_are_those_of_the_paper() -> None:
    with torch.device("meta"):
        model = WavlmSap(WavlmSapConfig())
    assert count(model.encoder) == 315_453_120
    assert count(model.encoder.backbone.feature_extractor) == 4_206_592
    assert model.attention is not None
    assert count(model.attention) == 4_198_400
    assert count(model) - count(model.encoder) - count(model.attention) == 65_766
    assert count(model, trainable=True) == 315_509_670


def test_size_of_the_global_pooling_baseline() -> None:
    with torch.device("meta"):
        model = WavlmSap(WavlmSapConfig(pooling="gap"))
    assert count(model, trainable=True) == 311_278_502


@pytest.mark.parametrize("norm", ["layer", "group"])
def test_encoder_is_the_library_s(norm: str) -> None:
    model = tiny(norm=norm)
    samples = torch.randn(2, 320 * 40)
    with torch.inference_mode():
        expected = model.encoder.backbone(samples).last_hidden_state
        got, steps = model.encoder(samples, torch.tensor([40, 40]))
    assert got.shape == (2, 39, 32)
    assert steps.tolist() == [39, 39]
    torch.testing.assert_close(got, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("pooling", ["gap", "sap", "both"])
@pytest.mark.parametrize("norm", ["layer", "group"])
def test_scores_do_not_depend_on_what_a_piece_is_batched_with(norm: str, pooling: str) -> None:
    model = tiny(norm=norm, pooling=pooling)
    features, frames = pieces([30, 17, 3, 2])
    with torch.inference_mode():
        together = model(features, frames)
        assert float(together.std(dim=0).min()) > 1e-3
        for i, n in enumerate(frames.tolist()):
            alone = model(features[i : i + 1, :n], frames[i : i + 1])
            torch.testing.assert_close(together[i : i + 1], alone, rtol=0, atol=1e-5)


def test_masked_attention_is_attention_among_the_gathered() -> None:
    torch.manual_seed(2)
    attention = SelfAttention(32, 4)
    x, speech = torch.randn(3, 50, 32), torch.rand(3, 50) > 0.6
    with torch.inference_mode():
        masked = masked_mean(attention(x, speech), speech[:, :, None], dim=1)
        for i in range(3):
            gathered = x[i : i + 1, speech[i]]
            everything = torch.ones(1, gathered.shape[1], dtype=torch.bool)
            expected = attention(gathered, everything).mean(dim=1)
            torch.testing.assert_close(masked[i : i + 1], expected, rtol=0, atol=1e-6)


def test_attention_is_torch_s() -> None:
    torch.manual_seed(3)
    ours, theirs = SelfAttention(32, 4), torch.nn.MultiheadAttention(32, 4, batch_first=True)
    with torch.no_grad():
        inputs = (ours.query, ours.key, ours.value)
        theirs.in_proj_weight.copy_(torch.cat([layer.weight for layer in inputs]))
        theirs.in_proj_bias.copy_(torch.cat([layer.bias for layer in inputs]))
    theirs.out_proj = ours.output
    x, counts = torch.randn(2, 20, 32), torch.rand(2, 20) > 0.3
    expected, _ = theirs(x, x, x, key_padding_mask=~counts)
    torch.testing.assert_close(ours(x, counts), expected)


def test_only_speech_is_pooled_by_segments() -> None:
    model = tiny(pooling="sap", layers=1)
    features, frames = pieces([40])
    features[0, :, 320] = 0
    features[0, 5:9, 320] = 1
    with torch.inference_mode():
        h, _ = model.encoder(features[:, :, :320].flatten(1), frames)
        assert model.attention is not None
        everything = torch.ones(1, 4, dtype=torch.bool)
        expected = model.project(model.attention(h[:, 5:9], everything).mean(dim=1))
        torch.testing.assert_close(model.represented(features, frames), expected)


def test_window_without_speech_is_pooled_whole() -> None:
    model = tiny()
    features, frames = pieces([25, 25])
    features[0, :, 320], features[1] = 0, features[0]
    features[1, :, 320] = 1
    with torch.inference_mode():
        silent, spoken = model(features, frames)
    torch.testing.assert_close(silent, spoken)


def test_last_frame_s_flag_belongs_to_no_vector() -> None:
    model = tiny()
    features, frames = pieces([25])
    flipped = features.clone()
    flipped[0, 24, 320] = 1 - flipped[0, 24, 320]
    with torch.inference_mode():
        assert torch.equal(model(features, frames), model(flipped, frames))
        flipped[0, 23, 320] = 1 - flipped[0, 23, 320]
        assert not torch.equal(model(features, frames), model(flipped, frames))


@pytest.mark.parametrize("frozen", ["none", "convolutions", "encoder"])
def test_training_leaves_alone_what_is_frozen(frozen: str) -> None:
    model = tiny(frozen=frozen)
    features, frames = pieces([20, 14, 9])
    batch = Batch.of(features, frames, torch.eye(4)[:3])._replace(
        valence=torch.tensor([40.0, float("nan"), 50.0]), arousal=torch.tensor([2.0, 3.0, 4.0])
    )
    model.train()
    with torch.autocast("cpu", torch.bfloat16):
        loss_of(MultiTask(), model, batch, torch.ones(4)).backward()
    names = [n for n, _ in model.named_parameters()]
    prefix = {"none": "-", "convolutions": "encoder.backbone.feature_ex", "encoder": "encoder."}
    # Nothing is masked in the encoder's training; a key's bias shifts all scores of a step alike.
    left = {n for n in names if n.startswith(prefix[frozen]) or n.endswith("masked_spec_embed")}
    idle = {n for n in names if "k_proj.bias" in n}
    trained = {n for n, p in model.named_parameters() if p.grad is not None and p.grad.any()}
    assert trained - idle == set(names) - left - idle
    assert not trained & left
    used = {n for n, p in model.named_parameters() if p.grad is not None}
    assert used == set(names) - left, "several processes share only what is used"
    for part in model.encoder.backbone.feature_extractor.modules():
        assert part.training == (frozen == "none")
    encoders = {n for n in names if n.startswith("encoder.")}
    assert not model.pretrained()
    model.config = msgspec.structs.replace(model.config, pretrained="somewhere")
    assert len(model.pretrained()) == len(encoders - left)


def test_estimates_start_at_the_means_and_share_the_logits() -> None:
    model = tiny()
    features, frames = pieces([20, 14])
    with torch.inference_mode():
        logits, valence, _ = model.estimates(features, frames)
        torch.testing.assert_close(logits, model(features, frames))
        bias = float(model.valence.bias) if model.valence is not None else 0.0
        model.expect(2.5, 3.1)
        _, later, arousal = model.estimates(features, frames)
    torch.testing.assert_close(later, valence - bias + 2.5)
    assert arousal.shape == (2,)


def test_without_multi_task_there_are_no_estimates() -> None:
    model = tiny(multi_task=False)
    features, frames = pieces([20, 14])
    batch = Batch.of(features, frames, torch.eye(4)[:2])
    assert torch.isfinite(loss_of(CrossEntropy(), model, batch, torch.ones(4)))
    with pytest.raises(UserError, match="multi_task"):
        loss_of(MultiTask(), model, batch, torch.ones(4))


@pytest.mark.parametrize("pooling", ["gap", "both"])
@pytest.mark.parametrize("norm", ["layer", "group"])
def test_graph_equals_the_model(norm: str, pooling: str) -> None:
    model = tiny(norm=norm, pooling=pooling)
    running = session(model)
    for lengths in ([2], [30], [61, 3, 44, 61], [200, 150]):
        features, frames = pieces(lengths)
        assert_agrees(running, model, features, frames.tolist())


def test_pretrained_weights_come_from_a_folder(tmp_path: Path) -> None:
    source = tiny()
    source.encoder.backbone.save_pretrained(tmp_path / "wavlm")
    torch.manual_seed(7)
    model = WavlmSap(WavlmSapConfig(**{**TINY, "pretrained": str(tmp_path / "wavlm")})).eval()
    samples, frames = torch.randn(1, 3200), torch.tensor([10])
    assert not torch.allclose(model.encoder(samples, frames)[0], source.encoder(samples, frames)[0])
    model.load_pretrained()
    assert torch.equal(model.encoder(samples, frames)[0], source.encoder(samples, frames)[0])


def test_weights_of_another_size_are_refused(tmp_path: Path) -> None:
    tiny().encoder.backbone.save_pretrained(tmp_path / "wavlm")
    settings = {**TINY, "layers": 3, "pretrained": str(tmp_path / "wavlm")}
    with pytest.raises(UserError, match=r"num_hidden_layers 2, the model has 3; set model\.layers"):
        WavlmSap(WavlmSapConfig(**settings)).load_pretrained()


def test_missing_weights_are_one_line_not_a_traceback(tmp_path: Path) -> None:
    model = WavlmSap(WavlmSapConfig(**{**TINY, "pretrained": str(tmp_path / "absent")}))
    with pytest.raises(UserError, match=r"no weights from .*set model\.pretrained to the folder"):
        model.load_pretrained()
    (tmp_path / "absent").mkdir()
    with pytest.raises(UserError, match="no weights from"):
        model.load_pretrained()


def test_the_library_is_not_imported_before_it_is_needed() -> None:
    code = (
        "import sys, edgeser_train.models, edgeser_train.training.losses;"
        "sys.exit('transformers' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_it_is_known_by_name() -> None:
    config = msgspec.convert({"name": "wavlm-sap", **TINY}, WavlmSapConfig)
    assert config.width == 321
    assert isinstance(build(config), WavlmSap)


@pytest.mark.parametrize(
    "settings", [{"labels": 1}, {"heads": 5}, {"hidden": 24}, {"dropout": 1.0}, {"layers": 0}]
)
def test_impossible_shapes_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="wavlm-sap"):
        WavlmSapConfig(**{**TINY, **settings})
