"""Says which splits of datasets a stage reads, what it uses them for, and by which digest they are known."""

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
    """Return what `logged_models.log_datasets` takes: name, digest, context and source of each split that a stage reads.

    Two splits of one name are the same exactly if their digests are: of the annotations and of the media that they name, or of
    the stages that make them.
    """
    experiment = plan.experiment.section
    kind = kind_of(step.section)
    reads = list(kind.reads(step.section, experiment.datasets))
    uses = {(read.dataset, read.use.split) for read in reads if isinstance(read, AnnotationsRead) and not read.use.only_ids}
    return [
        {
            "name": f"{dataset}/{split}",
            "digest": _digest(plan, step, dataset, split),
            "context": _context(kind.lineage(step.section), (dataset, split)),
            "source": experiment.datasets[dataset].root,
        }
        for dataset, split in sorted(uses)
    ]


def _digest(plan: Plan, step: Step, dataset: str, split: str) -> str:
    section = plan.experiment.section.datasets[dataset]
    own = {
        name: digest
        for name, digest in step.data.items()
        if name.startswith((f"{dataset}/{split}/", f"{dataset}/clips", f"{dataset}/root", f"{dataset}/frames"))
    }
    makers = [section.made_by, plan.experiment.frames.get(dataset)]
    made = {maker: step.inputs[maker] for maker in makers if maker is not None and maker in step.inputs}
    return hashlib.sha256(json.dumps([split, own, made], sort_keys=True).encode()).hexdigest()[:DIGEST_DIGITS]


def _context(lineage: Lineage | None, used: tuple[str, str]) -> str:
    if lineage is not None and used in lineage.trained_on:
        return "training"
    return "validation" if lineage is not None and used == lineage.selected_on else "evaluation"
