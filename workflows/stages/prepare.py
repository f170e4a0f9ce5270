"""Make a dataset: the generated demo corpus, or a conversion of a dataset author's own files."""

from __future__ import annotations

import shutil

from cosa.datasets.converters import CONVERTERS
from workflows.records.outcome import StageOutcome
from workflows.records.tracking import RUN_NOTE
from workflows.stages.context import StageContext


def prepare(context: StageContext) -> StageOutcome:
    """Run a converter into the stage's folder. An interrupted conversion starts again: it is quick and has no parts."""
    converter = CONVERTERS[context.section.converter]
    folder = context.folder
    shutil.rmtree(folder)
    folder.mkdir()
    context.line.update(f"{context.section.converter}: {converter.description}")
    counts = converter.run(folder, context.section.options)
    summary = ", ".join(f"{count} {what.replace('_', ' ')}" for what, count in counts.items())
    made = [path for path in sorted(folder.glob("*.json")) if path.name != RUN_NOTE]  # the note is ours, and goes away
    return StageOutcome(summary, details={"counts": counts}, artifacts=made)
