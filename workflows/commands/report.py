"""`cosa report` writes one page about an experiment."""

from __future__ import annotations

from pathlib import Path

from workflows.commands.compare import write_page
from workflows.commands.naming import Named, results_named
from workflows.reports.experiment_report import report_of
from workflows.reports.report_page import report_page
from workflows.spec.problems import UsageError


def write_report(name: str, out: Path, storage: Path | None) -> None:
    """Write the page.

    Args:
        name: of the experiment, or its spec.
        out: file of the page.
        storage: folder of results; None means the usual one, and of a spec its own.

    Raises:
        UsageError: the name is that of a single result.
        UserError: the page cannot be written.
    """
    named = results_named(name, storage)
    if named.is_single:
        raise UsageError(f"{name} is one result, which `cosa show` shows; name an experiment ({named.experiment}), or a spec")
    report = report_of(named.experiment, named.results, named.inventory, named.steps, named.absent, _description(named))
    write_page(out, report_page(report, out.absolute().parent))


def _description(named: Named) -> str:
    return (named.plan.experiment.section.description or "") if named.plan is not None else ""
