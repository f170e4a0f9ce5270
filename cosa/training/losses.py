"""The losses of one step, as one module: this is what distributed data parallelism wraps."""

from dataclasses import replace
from typing import cast

from torch import Tensor, nn

from cosa.behaviour import DEFAULT, Behaviour
from cosa.data.batches import Batch
from cosa.distributed import gather_constant
from cosa.model import COSA, EncodedBatch, read_texts
from cosa.objectives.all_objectives import OBJECTIVES
from cosa.objectives.answer_modelling import question_answering_loss
from cosa.objectives.draws import Draws
from cosa.objectives.masked_language import masked_texts, masking_probability
from cosa.objectives.names import CONCATENATED, ObjectiveName
from cosa.objectives.objective_settings import ObjectiveSettings
from cosa.objectives.pending import Pending, finish_together
from cosa.objectives.self_critical import SelfCritical, self_critical_loss
from cosa.objectives.token_masking import MaskedTexts

BY_SIMILARITY = ("itc", "itm", "citc", "citm")  # objectives that compare texts which are read without videos


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
            return finish_together(self.model, {"qa_loss": self._questions(batch, draws)})
        if self.self_critical is not None:
            memory = self.model.video_memory(self.model.encode_video(batch.frames))
            loss, reward = self_critical_loss(self.model, memory, batch.media_ids, self.self_critical, draws, self.behaviour)
            return {"scst_loss": loss, "reward": reward}
        single = self._single(batch)
        joined = self._joined(single, batch)
        targets = {name: joined if name in CONCATENATED else single for name in batch.objectives}
        by_similarity = [target for name, target in targets.items() if name in BY_SIMILARITY and target is not None]
        if by_similarity:
            read_texts(list({id(target): target for target in by_similarity}.values()))
        pending = {}
        for name, target in targets.items():
            assert target is not None, f"{name} needs concatenated samples"
            pending[f"{name}_loss"] = OBJECTIVES[cast(ObjectiveName, name)](target, self.settings, draws)
        return finish_together(self.model, pending)

    def draw_masks(self, batch: Batch, draws: Draws) -> dict[str, MaskedTexts]:
        """What `forward` would draw for a batch of objectives that may be divided, by objective, on the host."""
        ids = batch.host.ids if batch.question_ids is None else batch.host.answer_ids
        assert ids is not None
        return {
            name: masked_texts(self.model, ids, masking_probability(name, self.settings), draws) for name in batch.objectives
        }

    def _questions(self, batch: Batch, draws: Draws) -> Pending:
        assert batch.question_ids is not None
        assert batch.host.answer_ids is not None
        memory = self.model.video_memory(self.model.encode_video(batch.frames))
        return question_answering_loss(
            self.model, memory, batch.question_ids, batch.host.answer_ids, self.max_question_tokens, self.settings, draws
        )

    def _single(self, batch: Batch) -> EncodedBatch:
        assert batch.ids is not None
        single = EncodedBatch.encode(self.model, batch.ids, batch.frames, batch.identities, self.behaviour, batch.host.ids)
        return replace(single, given_all_ids=batch.all_ids)

    def _joined(self, single: EncodedBatch, batch: Batch) -> EncodedBatch | None:
        """The concatenated samples, if the batch has any."""
        ids, host_ids = batch.concatenated_ids, batch.host.concatenated_ids
        if batch.members is None or ids is None:
            return None
        if self.behaviour.concatenated_videos != "pixels":
            joined = single.concatenated(ids, batch.members, host_ids)
        else:
            frames = gather_constant(batch.frames)[batch.members].flatten(1, 2)  # (rows, n * frames, 3, height, width)
            joined = EncodedBatch.encode(self.model, ids, frames, batch.identities, self.behaviour, host_ids)
        return replace(joined, given_all_ids=batch.all_concatenated_ids)
