"""The losses of one step, as one module: this is what distributed data parallelism wraps."""

from typing import cast

import torch
from torch import Tensor, nn

from cosa.config import ObjectiveSettings
from cosa.data.batches import Batch
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
    ):
        super().__init__()
        self.self_critical = self_critical
        self.model = model
        self.settings = settings
        self.max_question_tokens = max_question_tokens

    def forward(self, batch: Batch, generator: torch.Generator | None) -> dict[str, Tensor]:
        """Scalars by name. The training loss is the plain sum of those that end in `_loss`; others are for the record."""
        videos = self.model.encode_video(batch.frames)
        if batch.question_ids is not None:
            assert batch.answer_ids is not None
            memory = self.model.video_memory(videos)
            loss = question_answering_loss(
                self.model, memory, batch.question_ids, batch.answer_ids, self.max_question_tokens, self.settings, generator
            )
            return {"qa_loss": loss}
        if self.self_critical is not None:
            memory = self.model.video_memory(videos)
            loss, reward = self_critical_loss(self.model, memory, batch.media_ids, self.self_critical, generator)
            return {"scst_loss": loss, "reward": reward}
        assert batch.ids is not None
        single = EncodedBatch(self.model, batch.ids, videos, batch.identities)
        joined = None
        if batch.members is not None and batch.concatenated_ids is not None:
            joined = single.concatenated(batch.concatenated_ids, batch.members)
        losses = {}
        for name in batch.objectives:
            objective = OBJECTIVES[cast(ObjectiveName, name)]
            target = joined if objective.on_concatenated else single
            assert target is not None, f"{name} needs concatenated samples"
            losses[f"{name}_loss"] = objective.loss(target, self.settings, generator)
        return losses
