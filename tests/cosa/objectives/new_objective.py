"""An objective as somebody else would add it: a loss, a head of its own, an entry of the table."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from cosa.draws import Draws
from cosa.model import COSA
from cosa.model_parts import FUSION, TEXT, VISION
from cosa.objectives.encoded_batch import EncodedBatch
from cosa.objectives.objective import Head, Objective
from cosa.objectives.pending import Pending
from cosa.section import Section


class LengthSettings(Section):
    """Of the objective below."""

    length_weight: float = Field(1.0, gt=0, description="weight of the loss")


class LengthHead(nn.Module):
    """How long is the caption? A layer with a bias of one element, and a scalar: sharding has to tell them apart."""

    def __init__(self, model: COSA):
        super().__init__()
        self.linear = nn.Linear(model.config.text.hidden_size, 1)
        self.scale = nn.Parameter(torch.rand(()))

    def forward(self, hidden: Tensor) -> Tensor:
        """(rows, hidden) to (rows,)."""
        return self.scale * self.linear(hidden)[:, 0]


def length_loss(batch: EncodedBatch, settings: LengthSettings, draws: Draws) -> Pending:
    """Squared error of the length of a caption, in tens of tokens, predicted from its first state with its video."""
    model = batch.model
    lengths = model.not_padding(batch.ids).sum(1) / 10

    def loss(hidden: Sequence[Tensor]) -> Tensor:
        return settings.length_weight * F.mse_loss(model.heads["length"](hidden[0][:, 0]).float(), lengths)

    return Pending([model.for_first_state(batch.ids, batch.memory)], loss, {"mean_length": lengths.mean()})


LENGTH = Objective(
    title="length of captions",
    loss=f"{__name__}:length_loss",
    reaches=(VISION, TEXT, FUSION),
    settings=LengthSettings,
    head=Head(f"{__name__}:LengthHead", may_be_frozen=True),
)
