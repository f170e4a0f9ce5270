"""An objective halfway: what it wants to have read, and how its loss follows. So all objectives of a step read in one pass."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from torch import Tensor

from cosa.encoders.encoder_input import Reading
from cosa.model import COSA


@dataclass(frozen=True)
class Pending:
    """A loss that waits for hidden states.

    readings: texts to be read. finish: their hidden states, in the same order, to a scalar loss. recorded: other scalars, by
    name, that are recorded beside the loss.
    """

    readings: Sequence[Reading]
    finish: Callable[[Sequence[Tensor]], Tensor]
    recorded: Mapping[str, Tensor] = field(default_factory=dict)

    def loss(self, model: COSA) -> Tensor:
        """Read and finish at once. Scalar."""
        return finish_together(model, {"": self})[""]


def finish_together(model: COSA, pending: Mapping[str, Pending]) -> dict[str, Tensor]:
    """The losses of several objectives, in one pass of the encoder through all that they want to have read."""
    readings = [reading for objective in pending.values() for reading in objective.readings]
    hidden = iter([read.hidden for read in model.multimodal.read(readings)] if readings else [])
    return {name: objective.finish([next(hidden) for _ in objective.readings]) for name, objective in pending.items()}
