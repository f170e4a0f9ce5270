"""Shows a few predictions below the table of results, and where more are: a score says little of what a model says."""

from __future__ import annotations

from collections.abc import Iterator
from textwrap import shorten

from rich.markup import escape

from workflows.planning.plan import Plan
from workflows.records.intervals import GALLERY
from workflows.results.manifest import read_manifest
from workflows.terminal.plain_text import printable

PREDICTIONS = "predictions_"  # how the names of outputs begin that hold predictions
LONGEST = 200  # characters of an example


def example_lines(plan: Plan) -> Iterator[str]:
    """Yield lines, in rich's markup, with predictions of each evaluation, and the files that hold all of them and the best and
    worst with frames."""
    for step in plan.steps:
        if step.fingerprint is None or step.name not in plan.selected:
            continue
        result = plan.result_of(step.name)
        manifest = read_manifest(result)
        examples = manifest.details.get("examples", ()) if manifest is not None else ()
        if manifest is None or not examples:
            continue
        files = [str(result / name) for output, name in manifest.outputs.items() if output.startswith(PREDICTIONS)]
        yield f"\n  {escape(step.name)} says, for example [dim](all: {escape(', '.join(files))})[/]"
        for example in examples:
            yield f"    {escape(printable(shorten(example, LONGEST)))}"
        for output, name in manifest.outputs.items():
            if output.startswith(GALLERY):
                yield f"    [dim]gallery:[/] {escape(str(result / name))}"
