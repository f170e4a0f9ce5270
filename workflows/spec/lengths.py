"""Texts longer than the text encoder has positions for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from cosa.data.concatenation import concatenated_text_limit
from cosa.errors import UserError
from cosa.objectives.all_objectives import batch_needs
from workflows.spec.combinations import Report
from workflows.spec.sections import EvaluateSection, FinetuneSection, PretrainSection, StageSection, TrainSection


def positions_needed(stage: StageSection) -> Iterator[tuple[str, int, str]]:
    """(field, positions, what takes them) of the texts that a stage may make."""
    if isinstance(stage, TrainSection | EvaluateSection):
        yield "max_text_tokens", stage.max_text_tokens, "a text"
    if isinstance(stage, PretrainSection) and any(batch_needs(corpus.objectives).concatenated for corpus in stage.corpora):
        limit = concatenated_text_limit(stage.max_text_tokens, stage.concatenate)
        yield "max_text_tokens", limit, f"the caption of {stage.concatenate} concatenated samples"
    if isinstance(stage, FinetuneSection | EvaluateSection):
        tasks = stage.tasks if isinstance(stage, EvaluateSection) else (stage.task,)
        # Behind the longest text that is generated stands one more [MASK].
        if "question_answering" in tasks:
            answered = stage.max_text_tokens + stage.max_answer_tokens + 1
            yield "max_text_tokens", answered, "a question with its answer"
        if "captioning" in tasks:
            yield "max_caption_tokens", stage.max_caption_tokens + 1, "a generated caption"


def too_long(stage: StageSection, positions: int) -> Iterator[tuple[str, str]]:
    """(field, message) of what an encoder with so many positions cannot read."""
    told: set[str] = set()
    for field, needed, what in sorted(positions_needed(stage), key=lambda item: -item[1]):
        if needed > positions and field not in told:
            told.add(field)
            yield (
                field,
                f"{what} may take {needed} tokens, but the text encoder has {positions} positions; lower it, or raise "
                "model.text.max_position_embeddings",
            )


def check_lengths(stages: Mapping[str, StageSection], positions: int, report: Report) -> None:
    """Report stages whose texts the model of the spec cannot read. Those that start from a file are seen when it is loaded."""
    for name, stage in stages.items():
        if _builds_on_model_section(stage, stages):
            for field, message in too_long(stage, positions):
                report(message, "stages", name, field)


def refuse_long_texts(stage: StageSection, positions: int) -> None:
    """For a loaded model.

    Raises:
        UserError: a stage's texts may be longer than the model can read.
    """
    for field, message in too_long(stage, positions):
        raise UserError(f"{field}: {message.partition(', or raise')[0]}")


def _builds_on_model_section(stage: StageSection, stages: Mapping[str, StageSection]) -> bool:
    """Whether the model that a stage trains or evaluates is the spec's own, perhaps trained by other stages."""
    seen: list[StageSection] = []
    current: StageSection | None = stage
    while current is not None and current not in seen:
        seen.append(current)
        if isinstance(current, EvaluateSection):
            current = stages.get(current.checkpoint)
        elif isinstance(current, TrainSection):
            if current.init_from is None:
                return True
            current = stages.get(current.init_from)
        else:
            return False
    return False
