"""The losses of one step, as one module: this is what distributed data parallelism wraps."""

from typing import cast

from torch import Tensor, nn

from cosa.behaviour import DEFAULT, Behaviour
from cosa.config import ObjectiveSettings
from cosa.data.batches import Batch
from cosa.distributed import gather_constant
from cosa.draws import Draws
from cosa.model import COSA, EncodedBatch
from cosa.objectives.names import ObjectiveName
from cosa.objectives.question_answering import question_answering_loss
from cosa.objectives.self_critical import SelfCritical, self_critical_loss
from cosa.objectives.table import OBJECTIVES


class StepLosses(nn.Module):
    """Encodes a batch once and takes every objective on it."""

    def __init__(
        self,
        model: COSA,
        settings: ObjectiveSettings,
        max_question_tokens: int,
        self_critical: SelfCritical | None = None,
        behaviour: Behaviour = DEFAULT,
    ):
        super().__init__()
        self.self_critical = self_critical
        self.model = model
        self.settings = settings
        self.max_question_tokens = max_question_tokens
        self.behaviour = behaviour

    def forward(self, batch: Batch, draws: Draws) -> dict[str, Tensor]:
        """Scalars by name. The training loss is the plain sum of those that end in `_loss`; others are for the record."""
        if batch.question_ids is not None:
            assert batch.answer_ids is not None
            memory = self.model.video_memory(self.model.encode_video(batch.frames))
            loss = question_answering_loss(
                self.model, memory, batch.question_ids, batch.answer_ids, self.max_question_tokens, self.settings, draws
            )
            return {"qa_loss": loss}
        if self.self_critical is not None:
            memory = self.model.video_memory(self.model.encode_video(batch.frames))
            loss, reward = self_critical_loss(self.model, memory, batch.media_ids, self.self_critical, draws, self.behaviour)
            return {"scst_loss": loss, "reward": reward}
        assert batch.ids is not None
        single = EncodedBatch.encode(self.model, batch.ids, batch.frames, batch.identities, self.behaviour)
        joined = self._joined(single, batch)
        losses = {}
        for name in batch.objectives:
            objective = OBJECTIVES[cast(ObjectiveName, name)]
            target = joined if objective.on_concatenated else single
            assert target is not None, f"{name} needs concatenated samples"
            losses[f"{name}_loss"] = objective.loss(target, self.settings, draws)
        return losses

    def _joined(self, single: EncodedBatch, batch: Batch) -> EncodedBatch | None:
        """The concatenated samples, if the batch has any."""
        if batch.members is None or batch.concatenated_ids is None:
            return None
        if self.behaviour.concatenated_videos != "pixels":
            return single.concatenated(batch.concatenated_ids, batch.members)
        frames = gather_constant(batch.frames)[batch.members].flatten(1, 2)  # (rows, n * frames, 3, height, width)
        return EncodedBatch.encode(self.model, batch.concatenated_ids, frames, batch.identities, self.behaviour)
