"""Makes the job that a training stage sends to its workers, and decides its run's name and where Ray saves checkpoints."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from cosa.model_config import ModelConfig
from workflows.cluster.preemption import forget
from workflows.execution.checkpoint_storage import checkpoint_storage
from workflows.execution.context import StageContext
from workflows.execution.job import Job
from workflows.execution.stage_checkpoint import checkpoint_folder
from workflows.execution.training_stage import TrainSection
from workflows.execution.workers import MISTAKE_FILE


def job_of(context: StageContext[TrainSection], folder: Path, **changes: Any) -> dict[str, Any]:
    """Return the job of a training stage as plain data; `changes` replace fields of the section.

    It also removes what a previous attempt left in the folder: a mistake, and the request to stop.
    """
    section = context.section
    (folder / MISTAKE_FILE).unlink(missing_ok=True)
    forget(folder)
    model = None
    checkpoint = checkpoint_folder(context, section.init_from)
    if checkpoint is None:
        model = _with_absolute_paths(context.plan.experiment.section.model).model_dump(mode="json")
    return Job(
        section={**section.model_dump(mode="json"), **changes},
        datasets=context.datasets(),
        seed=context.seed,
        folder=str(folder),
        checkpoint=checkpoint,
        model=model,
        extensions=context.plan.experiment.extensions,
    ).plain()


def _with_absolute_paths(model: ModelConfig) -> ModelConfig:
    """Make the paths of pretrained weights absolute, because workers have a different working directory."""

    def absolute(pretrained: bool | str) -> bool | str:
        return str(Path(pretrained).absolute()) if isinstance(pretrained, str) else pretrained

    vision = model.vision.model_copy(update={"pretrained": absolute(model.vision.pretrained)})
    text = model.text.model_copy(update={"pretrained": absolute(model.text.pretrained)})
    return model.model_copy(update={"vision": vision, "text": text})


def run_name(context: StageContext[Any]) -> str:
    """Return the name of the stage's run in Ray. A resumed stage has the same name, by which Ray finds its checkpoints."""
    return f"{context.plan.experiment.name}-{context.step.name}"


def storage_of(context: StageContext[Any]) -> str:
    """Return where Ray saves the checkpoints of the stage's training until it is done."""
    label = f"{run_name(context)}-{context.step.fingerprint}"
    return checkpoint_storage(context.folder, context.cluster.section.checkpoint_storage, label)
