"""All objectives in one table. To add one: a file beside this with a function of `EncodedBatch`, and a line here."""

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from cosa.config import ObjectiveSettings
from cosa.draws import Draws
from cosa.model import EncodedBatch
from cosa.objectives.contrastive import contrastive_loss
from cosa.objectives.masked_language import captioning_loss, masked_language_loss
from cosa.objectives.matching import matching_loss, matching_loss_on_concatenated
from cosa.objectives.names import ObjectiveName

Loss = Callable[[EncodedBatch, ObjectiveSettings, Draws], Tensor]


@dataclass(frozen=True)
class Objective:
    """A loss and whether it is taken on the sample itself or on the concatenated one."""

    loss: Loss
    on_concatenated: bool = False


OBJECTIVES: dict[ObjectiveName, Objective] = {
    "itc": Objective(contrastive_loss),
    "itm": Objective(matching_loss),
    "mlm": Objective(masked_language_loss),
    "cap": Objective(captioning_loss),
    "citc": Objective(contrastive_loss, on_concatenated=True),
    "citm": Objective(matching_loss_on_concatenated, on_concatenated=True),
    "cmlm": Objective(masked_language_loss, on_concatenated=True),
    "ccap": Objective(captioning_loss, on_concatenated=True),
}
