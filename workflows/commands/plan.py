"""`cosa plan` shows what a run would do: as a table, a diagram, or JSON."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Literal

from workflows.commands.variants import Variant, heading, plan_variants, variants_of
from workflows.planning.drawing import described, mermaid
from workflows.planning.notes import notes_of
from workflows.planning.plan import Plan, blocked_by, make_plan, mistakes_of, refuse
from workflows.planning.selection import Selection
from workflows.spec.load import load_spec
from workflows.terminal.reporter import Reporter

PlanForm = Literal["table", "mermaid", "json"]


def show_plans(
    spec: Path,
    overrides: Sequence[str],
    sweeps: Sequence[str],
    *,
    force: Collection[str],
    selection: Selection,
    form: PlanForm,
) -> list[Plan]:
    """Print the plan of a spec, or of every variant that `--sweep` stands for, and return them.

    As JSON, the plans of variants are a list, each with the overrides that make the variant.

    Raises:
        UserError: the spec, or what it reads, is wrong. Before that the plan is printed, in which stages with wrong input are
            blocked.
    """
    reporter = Reporter()
    variants = variants_of(sweeps)

    def planned(variant: Variant) -> Plan:
        experiment = load_spec(spec, overrides, swept=variant)
        return make_plan(experiment, force=force, selection=selection, on_read=reporter.reading)

    plans = dict(plan_variants(variants, planned))
    mistakes = {variant: mistakes_of(plan) for variant, plan in plans.items()}
    shown = {variant: blocked_by(mistakes[variant], plan) for variant, plan in plans.items()}
    _show(shown, reporter, form, is_sweep=bool(sweeps))
    refuse([mistake for found in mistakes.values() for mistake in found])
    return list(plans.values())


def _show(plans: Mapping[Variant, Plan], reporter: Reporter, form: PlanForm, *, is_sweep: bool) -> None:
    if form == "json":
        shown = [{"variant": list(variant), **described(plan, notes_of(plan))} for variant, plan in plans.items()]
        print(json.dumps(shown if is_sweep else {k: v for k, v in shown[0].items() if k != "variant"}, indent=2))
        return
    variants = list(plans)
    for variant, plan in plans.items():
        if variant:
            reporter.print(("" if variant == variants[0] else "\n") + heading(variants, variant))
        if form == "mermaid":
            print(mermaid(plan))
        else:
            reporter.plan(plan, notes_of(plan))
