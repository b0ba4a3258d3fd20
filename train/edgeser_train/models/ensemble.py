"""Networks trained in the same way from different initial weights, as one.

What they agree on comes from the data, where they differ is chance (Hansen and Salamon 1990).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn

from edgeser_train.models.speech_model import SpeechModel
from edgeser_train.models.streaming import StreamModel, Votes


def ensemble_of(models: Sequence[SpeechModel]) -> SpeechModel:
    """Models of one recipe as one model; a single one is returned as it is."""
    if len(models) == 1:
        return models[0]
    streams = [model for model in models if isinstance(model, StreamModel)]
    made = StreamEnsemble(streams) if len(streams) == len(models) else Ensemble(models)
    made.mean.copy_(models[0].mean)
    made.std.copy_(models[0].std)
    if all(model.prior is not None for model in models):
        made.prior = nn.Parameter(torch.stack([model.prior for model in models]).mean(dim=0))
    return made.eval()


class Ensemble(SpeechModel):
    """The mean of the members' logits."""

    def __init__(self, members: Sequence[SpeechModel]) -> None:
        super().__init__(len(members[0].mean))
        self.members = nn.ModuleList(members)

    @property
    def min_frames(self) -> int:  # type: ignore[override]
        """The shortest window that all of them can hear."""
        return max(cast(SpeechModel, member).min_frames for member in self.members)

    def forward(self, features: Tensor, frames: Tensor) -> Tensor:
        """As ``SpeechModel`` has it."""
        return torch.stack([member(features, frames) for member in self.members]).mean(dim=0)


class StreamEnsemble(StreamModel):
    """Step by step the weighted mean of the members' votes and the mean of their weights; their
    states are concatenated. So the runtime sees one network.
    """

    def __init__(self, members: Sequence[StreamModel]) -> None:
        super().__init__(len(members[0].mean))
        self.members = nn.ModuleList(members)
        self.labels = members[0].labels

    @property
    def state_size(self) -> int:
        """As ``StreamModel`` has it."""
        return sum(self._sizes)

    def stream(self, features: Tensor, state: Tensor) -> Votes:
        """As ``StreamModel`` has it."""
        states = torch.split(state, self._sizes, dim=1)
        of_members = [
            cast(StreamModel, member).stream(features, own)
            for member, own in zip(self.members, states, strict=True)
        ]
        weights = torch.stack([votes.weights for votes in of_members])
        votes = torch.stack([votes.votes for votes in of_members])
        total = weights.sum(dim=0)
        return Votes(
            (weights[..., None] * votes).sum(dim=0) / total[..., None],
            total / len(of_members),
            torch.cat([votes.state for votes in of_members], dim=1),
        )

    @property
    def _sizes(self) -> list[int]:
        return [cast(StreamModel, member).state_size for member in self.members]


def members_of(model: SpeechModel) -> list[SpeechModel]:
    """The members of an ensemble; of any other model, the model itself."""
    if isinstance(model, (Ensemble, StreamEnsemble)):
        return [cast(SpeechModel, member) for member in model.members]
    return [model]
