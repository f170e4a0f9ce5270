"""Models with the heads that objectives bring along."""

from collections.abc import Iterable

from torch import nn

from cosa.errors import UserError
from cosa.model import COSA
from cosa.model_config import ModelConfig
from cosa.objectives.all_objectives import OBJECTIVES


def model_of(config: ModelConfig) -> COSA:
    """A model with random weights and all heads that its configuration names, on the CPU.

    Heads come last: what PyTorch's generator draws for the rest of the model does not depend on them.

    Raises:
        UserError: timm cannot build the image encoder, or no objective brings such a head.
    """
    model = COSA(config.model_copy(update={"heads": ()}))
    add_heads(model, config.heads)
    return model


def add_heads(model: COSA, objectives: Iterable[str]) -> None:
    """Add the heads of these objectives that the model lacks, on the CPU. PyTorch's own generator draws their weights.

    Raises:
        UserError: no such objective brings a head, or what builds it gives no module.
    """
    for name in objectives:
        if name in model.heads:
            continue
        objective = OBJECTIVES.get(name)
        part = objective.head_part(name) if objective is not None else None
        if objective is None or part is None:
            raise UserError(f"no objective {name!r} with a head of its own is registered; import what registers it")
        head = objective.build_head(model)
        if not isinstance(head, nn.Module):
            raise UserError(f"objective {name}: what builds its head gives {type(head).__name__}; expected a torch module")
        model.add_head(name, head, part)
