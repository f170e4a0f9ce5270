"""Texts longer than the text encoder has positions for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from cosa.errors import UserError
from workflows.spec.sections import StageSection
from workflows.spec.stage_kind import Report
from workflows.spec.stage_kinds import kind_of


def too_long(stage: StageSection, positions: int) -> Iterator[tuple[str, str]]:
    """(field, message) of what an encoder with so many positions cannot read."""
    reported: set[str] = set()
    for field, needed, what in sorted(kind_of(stage).text_lengths(stage), key=lambda length: -length.positions):
        if needed > positions and field not in reported:
            reported.add(field)
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
    """Whether the model that a stage trains or uses is the spec's own, perhaps trained by other stages."""
    seen: list[StageSection] = []
    current: StageSection | None = stage
    while current is not None and current not in seen:
        seen.append(current)
        kind = kind_of(current)
        if kind.builds_model(current):
            return True
        lineage = kind.lineage(current)
        current = stages.get(lineage.starts_from) if lineage is not None and lineage.starts_from is not None else None
    return False
