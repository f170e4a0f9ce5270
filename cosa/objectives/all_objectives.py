"""All objectives in one table. To add one: a file beside this with a function of `EncodedBatch`, a line here and its name."""

from collections.abc import Callable

from cosa.model import EncodedBatch
from cosa.objectives.contrastive import contrastive_loss
from cosa.objectives.draws import Draws
from cosa.objectives.masked_language import captioning_loss, masked_language_loss
from cosa.objectives.matching import matching_loss, matching_loss_on_concatenated
from cosa.objectives.names import ObjectiveName
from cosa.objectives.objective_settings import ObjectiveSettings
from cosa.objectives.pending import Pending

Objective = Callable[[EncodedBatch, ObjectiveSettings, Draws], Pending]

# `CONCATENATED` in names.py says which of them get concatenated samples.
OBJECTIVES: dict[ObjectiveName, Objective] = {
    "itc": contrastive_loss,
    "itm": matching_loss,
    "mlm": masked_language_loss,
    "cap": captioning_loss,
    "citc": contrastive_loss,
    "citm": matching_loss_on_concatenated,
    "cmlm": masked_language_loss,
    "ccap": captioning_loss,
}
