"""The losses of one step, as one module: this is what distributed data parallelism wraps."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from cosa.behaviour import DEFAULT, Behaviour
from cosa.data.batches import Batch
from cosa.distributed import gather_constant
from cosa.draws import Draws
from cosa.errors import UserError
from cosa.model import COSA
from cosa.objectives.all_objectives import OBJECTIVES
from cosa.objectives.encoded_batch import EncodedBatch, encode_texts
from cosa.objectives.masked_language import masked_texts
from cosa.objectives.objective_settings import ObjectiveSettings
from cosa.objectives.pending import Pending, finish_together
from cosa.token_masking import MaskedTexts

Value = TypeVar("Value")

_LOSS = "_loss"  # how names of losses end; other values are for the record alone


class StepLosses(nn.Module):
    """Encodes a batch once and takes every objective on it."""

    def __init__(
        self,
        model: COSA,
        settings: ObjectiveSettings,
        *,
        prepared: Mapping[str, Any] | None = None,
        behaviour: Behaviour = DEFAULT,
    ):
        """prepared: what objectives made once from the samples, by their names (see `cosa.objectives.preparation`)."""
        super().__init__()
        self.model = model
        self.settings = settings
        self.prepared = prepared or {}
        self.behaviour = behaviour

    @staticmethod
    def only_losses(values: Mapping[str, Value]) -> dict[str, Value]:
        """What of values by name belongs to losses."""
        return {name: value for name, value in values.items() if name.endswith(_LOSS)}

    @staticmethod
    def total(values: Mapping[str, Tensor]) -> Tensor:
        """The training loss: the plain sum of all losses among the values. Scalar."""
        return torch.stack(list(StepLosses.only_losses(values).values())).sum()

    @staticmethod
    def summed(of_batches: Sequence[tuple[Mapping[str, Tensor], int]]) -> dict[str, Tensor]:
        """Values of several batches by name: the sums of losses, and of other values the means over samples.

        of_batches: the values of each, scalars, and its number of samples.
        """
        samples: Counter[str] = Counter()
        for values, count in of_batches:
            samples.update(dict.fromkeys(values, count))
        summed: dict[str, Tensor] = {}
        for values, count in of_batches:
            for name, value in values.items():
                part = value if name.endswith(_LOSS) or count == samples[name] else value * (count / samples[name])
                summed[name] = summed[name] + part if name in summed else part
        return summed

    def forward(self, batch: Batch, draws: Draws) -> dict[str, Tensor]:
        """Scalars by name: a loss of every objective of the batch (see `total`), and what else they record."""
        single = self._single(batch)
        joined = self._joined(single, batch)
        objectives = {name: OBJECTIVES[name] for name in batch.objectives}
        targets: dict[str, EncodedBatch] = {}
        for name, objective in objectives.items():
            target = joined if objective.concatenated else single
            assert target is not None, f"{name} needs concatenated samples"
            targets[name] = target
        by_similarity = [target for name, target in targets.items() if objectives[name].by_similarity]
        if by_similarity:
            encode_texts(list({id(target): target for target in by_similarity}.values()))
        pending = {name: objectives[name].pending(targets[name], self._settings_of(name), draws) for name in objectives}
        for name, given in pending.items():
            if not isinstance(given, Pending):
                raise UserError(
                    f"{name}: its function {objectives[name].loss} gives {type(given).__name__}; expected a Pending"
                )
        losses = finish_together(self.model, pending)
        values = {f"{name}{_LOSS}": loss for name, loss in losses.items()}
        for name, loss in losses.items():
            if not isinstance(loss, Tensor) or loss.dim() != 0:
                shown = tuple(loss.shape) if isinstance(loss, Tensor) else type(loss).__name__
                raise UserError(f"{name}: its loss is {shown}; expected a scalar tensor, such as a mean")
            for recorded, value in pending[name].recorded.items():
                if recorded.endswith(_LOSS) or recorded in values:
                    raise UserError(
                        f"{name}: it records {recorded!r}, a name that is taken or that ends in {_LOSS}, as those of losses "
                        "do, which are summed; give the value another name"
                    )
                values[recorded] = value
        return values

    def draw_masks(self, batch: Batch, draws: Draws) -> dict[str, MaskedTexts]:
        """What `forward` would draw for a batch whose objectives are all divisible, by objective, on the host."""
        ids = batch.host.ids if batch.host.answer_ids is None else batch.host.answer_ids
        return {
            name: masked_texts(self.model, ids, OBJECTIVES[name].masked_share(self.settings), draws)
            for name in batch.objectives
        }

    def _settings_of(self, name: str) -> Any:
        return self.settings if OBJECTIVES[name].prepare is None else self.prepared[name]

    def _single(self, batch: Batch) -> EncodedBatch:
        single = EncodedBatch.encode(self.model, batch.ids, batch.frames, batch.identities, self.behaviour)
        return replace(single, host_ids=batch.host.ids, given_all_ids=batch.all_ids, source=batch)

    def _joined(self, single: EncodedBatch, batch: Batch) -> EncodedBatch | None:
        """The concatenated samples, if the batch has any."""
        ids = batch.concatenated_ids
        if batch.members is None or ids is None:
            return None
        if self.behaviour.concatenated_videos != "pixels":
            joined = single.concatenated(ids, batch.members)
        else:
            frames = gather_constant(batch.frames)[batch.members].flatten(1, 2)  # (rows, n * frames, 3, height, width)
            joined = EncodedBatch.encode(self.model, ids, frames, batch.identities, self.behaviour)
        return replace(joined, host_ids=batch.host.concatenated_ids, given_all_ids=batch.all_concatenated_ids, source=batch)
