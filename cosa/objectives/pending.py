"""An objective halfway: the texts it needs encoded, and how its loss follows. So all objectives of a step share one pass."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from torch import Tensor

from cosa.encoders.encoder_input import EncoderInput
from cosa.model import COSA


@dataclass(frozen=True)
class Pending:
    """A loss that waits for hidden states.

    inputs: of the text encoder. finish: their hidden states, in the same order, to a scalar loss. recorded: other scalars, by
    name, that are recorded beside the loss.
    """

    inputs: Sequence[EncoderInput]
    finish: Callable[[Sequence[Tensor]], Tensor]
    recorded: Mapping[str, Tensor] = field(default_factory=dict)

    def loss(self, model: COSA) -> Tensor:
        """Encode and finish at once. Scalar."""
        return finish_together(model, {"": self})[""]


def finish_together(model: COSA, pending: Mapping[str, Pending]) -> dict[str, Tensor]:
    """The losses of several objectives, in one pass of the encoder through all of their inputs."""
    inputs = [given for objective in pending.values() for given in objective.inputs]
    hidden = iter([output.hidden for output in model.multimodal.encode(inputs)] if inputs else [])
    return {name: objective.finish([next(hidden) for _ in objective.inputs]) for name, objective in pending.items()}
