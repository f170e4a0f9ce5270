"""Reports texts that are longer than the text encoder has positions for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from cosa.errors import UserError
from workflows.spec.sections import StageSection
from workflows.spec.stage_kind import Report
from workflows.spec.stage_kinds import kind_of


def too_long(stage: StageSection, positions: int) -> Iterator[tuple[str, str]]:
    """Yield (field, message) for every field that allows texts longer than an encoder with so many positions can read."""
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
    """Report stages whose texts are too long for the model of the spec.

    Stages that start from a file are checked when it is loaded (`refuse_long_texts`).
    """
    for name, stage in stages.items():
        if _builds_on_model_section(stage, stages):
            for field, message in too_long(stage, positions):
                report(message, "stages", name, field)


def refuse_long_texts(stage: StageSection, positions: int) -> None:
    """Check the texts of a stage against a loaded model.

    Raises:
        UserError: the texts may be longer than the model can read.
    """
    for field, message in too_long(stage, positions):
        raise UserError(f"{field}: {message.partition(', or raise')[0]}")


def _builds_on_model_section(stage: StageSection, stages: Mapping[str, StageSection]) -> bool:
    """Return whether the model that a stage trains or uses is made from the model section, by this stage or an earlier one."""
    seen: set[int] = set()  # Identities, because comparing the fields of hundreds of stages takes minutes.
    current: StageSection | None = stage
    while current is not None and id(current) not in seen:
        seen.add(id(current))
        kind = kind_of(current)
        if kind.builds_model(current):
            return True
        lineage = kind.lineage(current)
        current = stages.get(lineage.starts_from) if lineage is not None and lineage.starts_from is not None else None
    return False
