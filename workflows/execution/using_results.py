"""Protects the results that a run uses and makes against `cosa clean`, from its beginning to its end."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rich.markup import escape

from cosa.errors import UserError
from workflows.planning.plan import Plan
from workflows.results.current import note_current
from workflows.results.uses import in_use
from workflows.terminal.reporter import Reporter


@contextmanager
def using_results(plan: Plan, reporter: Reporter) -> Iterator[None]:
    """List the results of a plan as in use.

    Raises:
        UserError: one that the plan has found was removed since.
    """
    fingerprints = [step.fingerprint for step in plan.steps if step.fingerprint is not None]
    with in_use(
        plan.storage.root,
        fingerprints,
        lambda holder: reporter.print(f"  waiting for {escape(holder)}, which removes results (Ctrl-C to leave)"),
    ):
        gone = [step.name for step in plan.steps if step.action == "skip" and not plan.result_of(step.name).exists()]
        if gone:
            raise UserError(f"the result of {gone[0]} was removed since the plan was made; run the same command again")
        yield


def note_results(plan: Plan, sweep: str = "") -> None:
    """Note that the results of a plan, all of which came to their end, are the current ones. sweep: as of `RunOptions`."""
    used = {step.name: step.fingerprint for step in plan.steps if step.fingerprint is not None and step.action != "left out"}
    note_current(plan.storage.folder, used, sweep, str(plan.experiment.file))
