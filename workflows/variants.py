"""`--sweep stages.pretrain.concatenate=1,2,4`: whole experiments that differ in some fields, one after the other.

Results are found by their content: stages that a swept field does not reach run once and serve all variants.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Sequence

import yaml
from rich.markup import escape

from cosa.errors import UserError
from workflows.console import METRIC_NAMES, Reporter
from workflows.plan import Plan
from workflows.runner import result_rows

Variant = tuple[str, ...]  # overrides, NAME=VALUE


def variants_of(sweeps: Sequence[str]) -> list[Variant]:
    """All combinations of the values of several `NAME=VALUE,VALUE,...`.

    Raises:
        UserError: one is not of this form, or has a value twice.
    """
    axes: list[list[str]] = []
    for sweep in sweeps:
        name, equals, text = sweep.partition("=")
        try:
            values = yaml.safe_load(f"[{text}]") if equals and name.strip() else []
        except yaml.YAMLError:
            values = []
        if not values:
            raise UserError(f"--sweep {sweep}: expected NAME=VALUE,VALUE, such as stages.pretrain.concatenate=1,2,4")
        axis = [f"{name.strip()}={value if isinstance(value, str) else json.dumps(value)}" for value in values]
        if len(set(axis)) < len(axis):
            raise UserError(f"--sweep {sweep}: a value is there twice")
        axes.append(axis)
    return list(itertools.product(*axes))


def run_variants(variants: Sequence[Variant], run: Callable[[Variant], Plan], reporter: Reporter) -> None:
    """Run every variant; one that fails does not keep the others from running. Then show all metrics side by side.

    Raises:
        UserError: some failed.
    """
    done: dict[Variant, Plan] = {}
    failed: dict[Variant, UserError] = {}
    for number, variant in enumerate(variants, start=1):
        reporter.say(f"\n[bold]variant {number} of {len(variants)}:[/] {escape(', '.join(variant))}\n")
        try:
            done[variant] = run(variant)
        except UserError as error:
            failed[variant] = error
            reporter.warn(str(error))
    reporter.comparison([_short(variant) for variant in done], _rows(list(done.values())))
    if failed:
        which = "; ".join(f"{_short(variant)}: {str(error).splitlines()[0]}" for variant, error in failed.items())
        raise UserError(f"{len(failed)} of {len(variants)} variants failed: {which}")


def _short(variant: Variant) -> str:
    """Last names are enough to tell variants apart."""
    named = [override.partition("=") for override in variant]
    return ", ".join(f"{name.rpartition('.')[2]}={value}" for name, _, value in named)


def _rows(plans: Sequence[Plan]) -> list[tuple[str, str, list[float | None]]]:
    """Stage, metric, and its value in every plan."""
    found = [{(row["stage"], row["metric"]): row["value"] for row in result_rows(plan)} for plan in plans]
    keys = dict.fromkeys(key for values in found for key in values)
    return [
        (stage, METRIC_NAMES.get(metric, metric), [values.get((stage, metric)) for values in found]) for stage, metric in keys
    ]
