"""What manifests say of evaluations besides metrics: 95 % intervals, figures of parts of a split, and galleries."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.markup import escape

from workflows.planning.plan import Plan
from workflows.results.manifest import read_manifest
from workflows.spec.stage_kinds import kind_of

INTERVALS = "intervals"  # of `Manifest.details`: by metric, [low, high]
PARTS = "parts"  # of `Manifest.details`: by task, by `<metric>_<part>`, its value, interval and samples
GALLERY = "gallery_"  # how the names of outputs begin that are pages of samples


def interval_text(interval: Sequence[float] | None) -> str:
    """Write an interval; nothing for None."""
    return "" if interval is None else f"{interval[0]:.1f} to {interval[1]:.1f}"


def part_lines(plan: Plan) -> Iterator[str]:
    """Yield lines, in rich's markup, with figures of parts of splits, for stages whose section asks for them."""
    for step in plan.steps:
        if step.fingerprint is None or step.name not in plan.selected or not kind_of(step.section).shows_parts(step.section):
            continue
        manifest = read_manifest(plan.result_of(step.name))
        for parts in manifest.details.get(PARTS, {}).values() if manifest is not None else ():
            yield f"\n  {escape(step.name)} by part of the split"
            width = max(map(len, parts))
            for label, part in sorted(parts.items(), key=lambda item: -int(item[1]["samples"])):
                value, interval = f"{part['value']:.1f}", interval_text(part["interval"])
                figures = f"{value:>5}  [dim]{interval:>14}  of {part['samples']}[/]"
                yield f"    {escape(f'{label:<{width}}')}  {figures}"
