"""`cosa validate` checks specs without touching data."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich.markup import escape

from workflows.planning.room import lacking_room
from workflows.spec.fragments import is_fragment
from workflows.spec.load import load_spec
from workflows.spec.problems import SpecError
from workflows.spec.scaling import batch_problems
from workflows.terminal.reporter import Reporter


def validate(specs: Sequence[Path], overrides: Sequence[str]) -> None:
    """Print a line for each spec that is right.

    Raises:
        SpecError: it lists the mistakes of all others.
    """
    reporter, problems = Reporter(), []
    for spec in specs:
        if is_fragment(spec):
            reporter.print(f"[dim]skipped {escape(str(spec))}: a fragment, which specs extend[/]")
            continue
        try:
            experiment = load_spec(spec, overrides)
        except SpecError as error:
            problems += error.problems
            continue
        lacking = list(lacking_room(experiment.section.cluster, experiment.stages))
        if not lacking and (found := list(batch_problems(experiment, experiment.stages))):
            problems += found
            continue
        stages = ", ".join(f"{name} ({stage.kind})" for name, stage in experiment.stages.items())
        reporter.print(f"[green]ok[/] {escape(str(spec))}: {stages}")
        for line in lacking:  # The spec may be meant for another machine.
            reporter.print(f"  [yellow]not on this machine:[/] {escape(line)}")
    if problems:
        raise SpecError(problems)
