"""`--sweep stages.pretrain.concatenate=1,2,4` runs full experiments that differ in some fields, one after the other.

Results are found by their content: stages that a swept field does not reach run once and serve all variants.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace

import yaml
from rich.markup import escape

from cosa.errors import UserError
from cosa.tasks.all_tasks import label_of
from workflows.planning.plan import Plan
from workflows.records.final_table import result_rows
from workflows.spec.problems import UsageError
from workflows.terminal.reporter import Reporter

Variant = tuple[str, ...]  # It holds overrides, each NAME=VALUE.


def variants_of(sweeps: Sequence[str]) -> list[Variant]:
    """Return all combinations of the values of several `NAME=VALUE,VALUE,...`.

    Raises:
        UsageError: one is not of this form, or has a value twice.
    """
    axes: list[list[str]] = []
    for sweep in sweeps:
        name, equals, text = sweep.partition("=")
        values = _items(text) if equals and name.strip() else []
        if not values:
            raise UsageError(f"--sweep {sweep}: expected NAME=VALUE,VALUE, such as stages.pretrain.concatenate=1,2,4")
        if len(set(values)) < len(values):
            raise UsageError(f"--sweep {sweep}: a value is listed twice")
        axes.append([f"{name.strip()}={value}" for value in values])
    names = Counter(_name(axis[0]) for axis in axes)
    for name, count in names.items():
        if count > 1:
            raise UsageError(f"--sweep {name}: it is given {count} times; list all its values in one")
    return list(itertools.product(*axes))


def _items(text: str) -> list[str]:
    """Split a list without brackets into its items as they are written: --set reads them, by its own rules."""
    bracketed = f"[{text}]"
    try:
        node = yaml.compose(bracketed, Loader=yaml.SafeLoader)
    except yaml.YAMLError:
        return []
    if not isinstance(node, yaml.SequenceNode):
        return []
    return [bracketed[item.start_mark.index : item.end_mark.index].strip() for item in node.value]


def _name(override: str) -> str:
    return override.partition("=")[0]


def plan_variants(variants: Sequence[Variant], plan: Callable[[Variant], Plan]) -> Iterator[tuple[Variant, Plan]]:
    """Yield the plan of every variant as it will be when the variants before it have run."""
    made: dict[tuple[str, str], Variant] = {}
    for variant in variants:
        planned = plan(variant)
        steps = []
        for step in planned.steps:
            key = (step.kind, str(step.fingerprint))
            if step.action == "run" and key in made:
                steps.append(replace(step, action="skip", reason=f"done with {_short(made[key])}", changes=()))
                continue
            if step.action == "run":
                made[key] = variant
            steps.append(step)
        yield variant, replace(planned, steps=tuple(steps))


def heading(variants: Sequence[Variant], variant: Variant) -> str:
    """Return a line, in rich's markup, that says which variant follows."""
    return f"[bold]variant {variants.index(variant) + 1} of {len(variants)}:[/] {escape(', '.join(variant))}"


def run_variants(
    variants: Sequence[Variant], run: Callable[[Variant], Plan], reporter: Reporter, addresses: Iterable[str] = ()
) -> None:
    """Run every variant, even after one has failed. Then show all metrics side by side, and lines with addresses.

    Raises:
        UserError: some failed.
    """
    done: dict[Variant, Plan] = {}
    failed: dict[Variant, UserError] = {}
    try:
        for variant in variants:
            reporter.print(f"\n{heading(variants, variant)}\n")
            try:
                done[variant] = run(variant)
            except UserError as error:
                failed[variant] = error
                reporter.warn(str(error))
        rows = _rows(list(done.values()))
        if rows:
            reporter.comparison([_short(variant) for variant in done], rows)
    finally:  # After an interruption, too.
        for line in addresses:
            reporter.print(line)
    if failed:
        which = "; ".join(f"{_short(variant)}: {str(error).splitlines()[0]}" for variant, error in failed.items())
        raise UserError(f"{len(failed)} of {len(variants)} variants failed: {which}")


def _short(variant: Variant) -> str:
    """Shorten every name to its last parts, to as few as still distinguish the names."""
    names = [_name(override).split(".") for override in variant]
    parts = next(n for n in itertools.count(1) if len({tuple(name[-n:]) for name in names}) == len(names))
    return ", ".join(
        f"{'.'.join(name[-parts:])}={override.partition('=')[2]}" for name, override in zip(names, variant, strict=True)
    )


def _rows(plans: Sequence[Plan]) -> list[tuple[str, str, list[float | None]]]:
    """Return stage, metric, and the metric's value in every plan."""
    found = [{(row["stage"], row["metric"]): row["value"] for row in result_rows(plan)} for plan in plans]
    keys = dict.fromkeys(key for values in found for key in values)
    return [(stage, label_of(metric), [values.get((stage, metric)) for values in found]) for stage, metric in keys]
