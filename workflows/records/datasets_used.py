"""Says which annotations of datasets a stage uses, what for, and by which digest they are known."""

from __future__ import annotations

import hashlib
import json

from workflows.planning.plan import Plan
from workflows.planning.step import Step
from workflows.spec.reads import AnnotationsRead
from workflows.spec.stage_kind import Lineage
from workflows.spec.stage_kinds import kind_of

DIGEST_DIGITS = 16


def datasets_of(plan: Plan, step: Step) -> list[dict[str, str]]:
    """Return what `logged_models.log_datasets` takes: name, digest, context and source of each file that a stage reads.

    The name is <dataset>/<split>/<captions, questions, references or shards>. The digest is one of what the file says, or, if a
    stage makes the dataset, of that stage's fingerprint. Clips and images are not part of it, unless they are in shards.
    """
    experiment = plan.experiment.section
    kind = kind_of(step.section)
    lineage, measured_on = kind.lineage(step.section), kind.measured_on(step.section)
    found: dict[str, dict[str, str]] = {}
    for read in kind.reads(step.section, experiment.datasets):
        if isinstance(read, AnnotationsRead) and not read.use.only_ids:
            section, split = experiment.datasets[read.dataset], (read.dataset, read.use.split)
            file, kind_of_file = read.source(section)
            name = f"{read.dataset}/{read.use.split}/{kind_of_file}"
            digest = step.data.get(name) if section.made_by is None else _made(step, section.made_by, file)
            if file is not None and digest is not None:
                context = _context(lineage, measured_on, split)
                found[name] = {"name": name, "digest": digest[:DIGEST_DIGITS], "context": context, "source": file}
    return [found[name] for name in sorted(found)]


def dataset_measured_on(plan: Plan, step: Step) -> dict[str, str] | None:
    """Return that of `datasets_of` which a stage measures its metrics on; None if it measures none."""
    measured_on = kind_of(step.section).measured_on(step.section)
    if measured_on is None:
        return None
    start = "/".join(measured_on) + "/"
    return next((data for data in datasets_of(plan, step) if data["name"].startswith(start)), None)


def _made(step: Step, maker: str, file: str | None) -> str | None:
    if maker not in step.inputs:
        return None
    return hashlib.sha256(json.dumps([step.inputs[maker], file]).encode()).hexdigest()


def _context(lineage: Lineage | None, measured_on: tuple[str, str] | None, used: tuple[str, str]) -> str:
    if lineage is not None and used in lineage.trained_on:
        return "training"
    if used != measured_on:
        return "baseline"
    return "validation" if lineage is not None and lineage.trained_on else "evaluation"
