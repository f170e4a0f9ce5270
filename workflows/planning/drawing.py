"""Draws a plan as a tree or a Mermaid diagram, and describes it for programs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from workflows.planning.plan import Plan, Step
from workflows.spec.secrets import Secrets

_ENTITIES = str.maketrans({'"': "#quot;", "<": "#lt;", ">": "#gt;", "\n": " "})
_COLOURS = {"run": "#fde68a", "skip": "#bbf7d0", "blocked": "#fecaca", "left out": "#e5e7eb"}


def tree(plan: Plan) -> Iterator[tuple[str, Step]]:
    """Yield the steps in the order of a tree, each with the lines to draw before its name.

    A step is below the one of its inputs that runs last, because the others are done by then.
    """
    order = {step.name: place for place, step in enumerate(plan.steps)}
    below: dict[str | None, list[Step]] = {}
    for step in plan.steps:
        inputs = plan.experiment.inputs[step.name]
        below.setdefault(max(inputs, key=order.__getitem__, default=None), []).append(step)
    yield from _branches(below, None, "")


def _branches(below: dict[str | None, list[Step]], above: str | None, indent: str) -> Iterator[tuple[str, Step]]:
    steps = below.get(above, [])
    for step in steps:
        is_last = step is steps[-1]
        joint, further = ("", "") if above is None else ("└─ ", "   ") if is_last else ("├─ ", "│  ")
        yield indent + joint, step
        yield from _branches(below, step.name, indent + further)


def mermaid(plan: Plan) -> str:
    """Write a flowchart for https://mermaid.js.org, which GitHub and many editors draw."""
    names = {step.name: f"s{place}" for place, step in enumerate(plan.steps)}
    lines = ["flowchart TD"]
    for step in plan.steps:
        why = "<br/>".join(change.translate(_ENTITIES) for change in step.changes or (step.reason,))
        lines.append(
            f'  {names[step.name]}["<b>{step.name}</b> ({step.kind})<br/>{step.action}: {why}"]:::{_class(step.action)}'
        )
    lines += [f"  {names[i]} --> {names[step.name]}" for step in plan.steps for i in plan.experiment.inputs[step.name]]
    lines += [f"  classDef {_class(action)} fill:{colour},stroke:#666" for action, colour in _COLOURS.items()]
    return Secrets.of_process().hide("\n".join(lines))


def _class(action: str) -> str:
    return action.replace(" ", "")


def described(plan: Plan, notes: Iterable[str] = ()) -> dict[str, Any]:
    """Return everything that is known about every step, as JSON-ready data without secrets. notes: about annotations."""
    steps = [
        {
            "name": step.name,
            "kind": step.kind,
            "action": step.action,
            "reason": step.reason,
            "changes": list(step.changes),
            "inputs": list(plan.experiment.inputs[step.name]),
            "fingerprint": step.fingerprint,
            "result": None if step.fingerprint is None else str(plan.result_of(step.name).absolute()),
            "resumes": step.resumes,
            "reuses": step.reuses,
        }
        for step in plan.steps
    ]
    known = {
        "name": plan.experiment.name,
        "spec": str(plan.experiment.file),
        "stages": steps,
        "missing": list(plan.missing),
        "warnings": [*plan.experiment.warnings, *notes],
    }
    hidden: dict[str, Any] = Secrets.of_process().hide_in(known)
    return hidden
