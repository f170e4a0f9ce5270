"""The spec of an experiment as it runs, with all fields: what records, and checkpoints, are made again from."""

from __future__ import annotations

from typing import Any

from workflows.planning.plan import Plan
from workflows.spec.secrets import Secrets


def resolved_spec(plan: Plan) -> dict[str, Any]:
    """Return a spec that `cosa run-experiment` takes, in which nothing is left to be filled in, without secrets."""
    stages = {step.name: step.section.model_dump(mode="json") for step in plan.steps}
    spec: dict[str, Any] = Secrets.of_process().hide_in({**plan.experiment.section.model_dump(mode="json"), "stages": stages})
    return spec
