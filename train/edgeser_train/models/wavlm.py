"""The WavLM encoder of the transformers library, with its padding masked.

The library takes seconds to import: nothing here imports it before an encoder is built.
"""

from __future__ import annotations

import contextlib
import importlib
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from edgeser.errors import UserError
from edgeser_train.models.speech_model import length_mask
from edgeser_train.torchaudio import transforms

if TYPE_CHECKING:
    from edgeser_train.models.wavlm_sap import WavlmSapConfig

_HOW_TO_GET = (
    "download it on a machine with a network (huggingface-cli download {name} --local-dir FOLDER) "
    "and set model.pretrained to the folder"
)


class WavlmEncoder(nn.Module):
    """Samples to the encoder's last layer: one vector per 20 ms."""

    def __init__(self, config: WavlmSapConfig) -> None:
        """Random weights. Raises UserError without the transformers library."""
        super().__init__()
        library = _transformers()
        self.backbone: Any = library.WavLMModel(_library_config(library, config))
        # Only for masked pretraining. Distributed training fails on parameters that are never used.
        self.backbone.masked_spec_embed.requires_grad_(False)
        self.norm_first = config.norm == "layer"

    def load(self, pretrained: str) -> None:
        """Load the weights of a folder or a name on the Hugging Face hub.

        Raises UserError where that is not possible, or they belong to another architecture.
        """
        library = _transformers()
        # It would log every retry without a network.
        logging.getLogger("huggingface_hub").setLevel(logging.CRITICAL)
        try:
            source = library.WavLMModel.from_pretrained(pretrained)
        except (OSError, ValueError, ImportError) as error:
            reason = str(error).partition("\n")[0].rstrip(".")
            how = "" if Path(pretrained).is_dir() else f"; {_HOW_TO_GET.format(name=pretrained)}"
            raise UserError(f"wavlm: no weights from {pretrained!r}: {reason}{how}") from error
        for ours, theirs in _FIELDS.items():
            have, found = (getattr(m.config, theirs) for m in (self.backbone, source))
            if have != found:
                raise UserError(
                    f"wavlm: {pretrained!r} has {theirs} {found}, the model has {have}",
                    f"set model.{ours}",
                )
        weights = source.state_dict()
        absent = set(self.backbone.state_dict()) - set(weights) - {"masked_spec_embed"}
        if absent:
            raise UserError(f"wavlm: {pretrained!r} lacks {min(absent)} and perhaps more")
        self.backbone.load_state_dict(weights, strict=False)

    def forward(self, samples: Tensor, frames: Tensor) -> tuple[Tensor, Tensor]:
        """(batch, 320 * n) of zero mean and unit variance, (batch,) -> (batch, n - 1, hidden).

        Also the number of valid vectors, (batch,): one less than the frames, since the last one
        would need 80 more samples.
        """
        model = self.backbone
        x = samples[:, None]
        for i, layer in enumerate(model.feature_extractor.conv_layers):
            if i == 0 and not self.norm_first:
                x = layer.conv(x)
                x = layer.activation(_normalised(x, 64 * frames - 1, layer.layer_norm))
            else:
                x = layer(x)
        h, _ = model.feature_projection(x.transpose(1, 2))
        counts = length_mask(frames - 1, h.shape[1])
        h = h.masked_fill(~counts[:, :, None], 0.0)
        encoder = model.encoder
        h = h + encoder.pos_conv_embed(h)
        h = encoder.dropout(h if self.norm_first else encoder.layer_norm(h))
        bias = encoder.layers[0].attention.compute_bias(h.shape[1], h.shape[1])
        for layer in encoder.layers:
            h = self._layer(layer, h, counts, bias)
        last: Tensor = encoder.layer_norm(h) if self.norm_first else h
        return last, frames - 1

    def _layer(self, layer: Any, h: Tensor, counts: Tensor, bias: Tensor) -> Tensor:
        """One layer of the transformer; shapes as in ``_attended``."""
        normed = layer.layer_norm(h) if self.norm_first else h
        h = h + layer.dropout(_attended(layer.attention, normed, counts, bias))
        if self.norm_first:
            h = h + layer.feed_forward(layer.final_layer_norm(h))
        else:
            h = layer.layer_norm(h)
            h = layer.final_layer_norm(h + layer.feed_forward(h))
        return h


def _attended(attention: Any, h: Tensor, counts: Tensor, bias: Tensor) -> Tensor:
    """WavLM's attention with gated relative positions, in operators that any exporter takes.

    ``h`` (batch, time, size), ``counts`` (batch, time) bool, ``bias`` (heads, time, time).
    """
    batch, time, size = h.shape

    def split(x: Tensor) -> Tensor:
        return x.reshape(batch, time, attention.num_heads, -1).transpose(1, 2)

    gates = attention.gru_rel_pos_linear(split(h))
    gates = torch.sigmoid(gates.reshape(batch, attention.num_heads, time, 2, 4).sum(dim=4))
    gate = gates[..., :1] * (gates[..., 1:] * attention.gru_rel_pos_const - 1.0) + 2.0
    query, key = split(attention.q_proj(h)), split(attention.k_proj(h))
    scores = (query @ key.transpose(2, 3)).float() * attention.scaling + gate * bias
    weights = torch.softmax(scores.masked_fill(~counts[:, None, None, :], -1e30), dim=3)
    weights = F.dropout(weights, attention.dropout, attention.training)
    mixed = weights.to(h.dtype) @ split(attention.v_proj(h)).to(h.dtype)
    attended: Tensor = attention.out_proj(mixed.transpose(1, 2).reshape(batch, time, size))
    return attended


def _normalised(x: Tensor, counts: Tensor, norm: nn.GroupNorm) -> Tensor:
    """A group norm of one channel per group over the first ``counts`` steps of each example.

    (batch, channels, time), (batch,) -> the same shape; a plain group norm would include padding.
    """
    inside = length_mask(counts, x.shape[2])[:, None]
    number = counts[:, None, None].to(x.dtype)
    mean = x.masked_fill(~inside, 0.0).sum(dim=2, keepdim=True) / number
    centred = (x - mean).masked_fill(~inside, 0.0)
    variance = centred.square().sum(dim=2, keepdim=True) / number
    scaled = centred * torch.rsqrt(variance + norm.eps)
    return scaled * norm.weight[:, None] + norm.bias[:, None]


_FIELDS = {
    "hidden": "hidden_size",
    "layers": "num_hidden_layers",
    "encoder_heads": "num_attention_heads",
    "feed_forward": "intermediate_size",
    "conv_channels": "conv_dim",
    "norm": "feat_extract_norm",
}
"""Our setting -> the library's: those that must agree with pretrained weights."""


def _library_config(library: Any, c: WavlmSapConfig) -> Any:
    return library.WavLMConfig(
        hidden_size=c.hidden,
        num_hidden_layers=c.layers,
        num_attention_heads=c.encoder_heads,
        intermediate_size=c.feed_forward,
        conv_dim=[c.conv_channels] * 7,
        feat_extract_norm=c.norm,
        do_stable_layer_norm=c.norm == "layer",
        hidden_dropout=c.dropout,
        attention_dropout=c.dropout,
        activation_dropout=0.0,
        feat_proj_dropout=c.dropout,
        layerdrop=0.0,
    )


def _transformers() -> Any:
    # Its audio helpers import torchaudio, which may need our workaround to be importable.
    with contextlib.suppress(ImportError):
        transforms()
    try:
        return importlib.import_module("transformers")
    except ImportError as error:
        raise UserError(
            "wavlm: the transformers library is missing", "pip install 'edgeser[wavlm]'"
        ) from error
