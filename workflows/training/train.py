"""Pretraining and finetuning: one training in Ray Train, or a sweep of several in Ray Tune."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from cosa.errors import UserError
from cosa.model_config import ModelConfig
from workflows.planning.plan import datasets_of
from workflows.records.outcome import OtherCheckpoints, StageOutcome
from workflows.records.plots import plot_curves
from workflows.spec.graph import is_path
from workflows.spec.metrics import MEAN_LOSS, format_metric, main_metric
from workflows.spec.scaling import check_batch
from workflows.spec.sections import FinetuneSection, TrainSection
from workflows.stages.context import StageContext
from workflows.training.checkpoint_storage import checkpoint_storage, remove_checkpoints
from workflows.training.checkpoints import keep_checkpoint, keep_others, whole_checkpoints
from workflows.training.fit import fit_in_background, trainer_of
from workflows.training.job import Job
from workflows.training.preemption import ask_to_stop, forget
from workflows.training.progress import PROGRESS_FILE, Follower, Record, best_evaluation, read_records
from workflows.training.run_folder import RunFolder
from workflows.training.whereabouts import noted_workers
from workflows.training.workers import MISTAKE_FILE, raise_mistake, training_worker

CHECKPOINT_FOLDER = "checkpoint"


def train(context: StageContext) -> StageOutcome:
    """Train and keep the best checkpoint in `checkpoint/`; interrupted training goes on from its latest checkpoint."""
    section: TrainSection = context.section
    if section.sweep is not None:
        context.line.update("starting Ray")
        context.cluster.start()  # before the import below: Ray reads its environment once
        from workflows.training.tune import sweep

        return sweep(context)
    return train_once(context)


def train_once(context: StageContext) -> StageOutcome:
    """One training with the section's own learning rate."""
    context.line.update("starting Ray")
    resources = context.cluster.resources_for(context.section.workers)
    for count in resources.counts:
        check_batch(context.step.name, context.section, count)
    job = job_of(context, context.folder)
    storage = storage_of(context)
    fewest = f"{resources.minimum} to " if resources.minimum is not None else ""
    context.line.update(f"starting {fewest}{resources.workers} worker{'s' if resources.workers > 1 else ''}")
    trainer = trainer_of(
        training_worker,
        {"job": job},
        resources,
        name=run_name(context),
        storage=storage,
        score=selection_metric(context),
        keep_all=uploaded_checkpoints(context) == "all",
        can_be_orphaned=context.cluster.is_shared,
    )
    forward = RecordForwarder(context)
    follower = Follower(context.folder)
    fit_in_background(trainer, lambda: forward.all(follower), lambda: ask_to_stop(context.folder))
    raise_mistake(context.folder)
    records = read_records(context.folder)
    run, warn = RunFolder.at(storage, run_name(context)), context.run.tracker.reporter.warn
    kept = whole_checkpoints(run, warn)
    best = best_evaluation(records, selection_metric(context), kept)
    if best is None:
        raise UserError(f"training left no whole checkpoint; start again by --force {context.step.name}")
    keep_checkpoint(run, kept[best.step], context.folder / CHECKPOINT_FOLDER)
    plot_curves(records, context.folder / "curves.png", title=context.step.name)
    outcome = training_outcome(context, records, best, extra="")
    others = keep_others(run, kept, further_steps(records, uploaded_checkpoints(context), best.step), context.folder)
    outcome.other_checkpoints = [OtherCheckpoints(others)] if others is not None else []
    remove_checkpoints(context.folder, warn)
    return outcome


def storage_of(context: StageContext) -> str:
    """Where Ray keeps the checkpoints of the stage's training until it is done."""
    label = f"{run_name(context)}-{context.step.fingerprint}"
    return checkpoint_storage(context.folder, context.cluster.section.checkpoint_storage, label)


def uploaded_checkpoints(context: StageContext) -> str:
    """Which checkpoints MLflow should have: best, last, all or none."""
    return context.plan.experiment.section.tracking.checkpoints


def further_steps(records: list[Record], which: str, best: int) -> set[int]:
    """Steps whose checkpoints MLflow should have besides the best one."""
    evaluated = {record.step for record in records if record.kind == "evaluation"}
    wanted = {"last": {max(evaluated)}, "all": evaluated}.get(which, set())
    return wanted - {best}


def job_of(context: StageContext, folder: Path, **changes: Any) -> dict[str, Any]:
    """The job of a training stage as plain data; `changes` replace fields of the section."""
    section: TrainSection = context.section
    (folder / MISTAKE_FILE).unlink(missing_ok=True)
    forget(folder)
    model = None
    checkpoint = checkpoint_folder(context, section.init_from)
    if checkpoint is None:
        model = _with_absolute_paths(context.plan.experiment.section.model).model_dump(mode="json")
    return Job(
        section={**section.model_dump(mode="json"), **changes},
        datasets={name: context.dataset(name) for name in datasets_of(section)},
        seed=context.seed,
        folder=str(folder),
        checkpoint=checkpoint,
        model=model,
    ).plain()


def _with_absolute_paths(model: ModelConfig) -> ModelConfig:
    """The same with the places of pretrained weights as workers find them, whose working directory is another one."""

    def absolute(pretrained: bool | str) -> bool | str:
        return str(Path(pretrained).absolute()) if isinstance(pretrained, str) else pretrained

    vision = model.vision.model_copy(update={"pretrained": absolute(model.vision.pretrained)})
    text = model.text.model_copy(update={"pretrained": absolute(model.text.pretrained)})
    return model.model_copy(update={"vision": vision, "text": text})


def checkpoint_folder(context: StageContext, reference: str | None) -> str | None:
    """Folder of the checkpoint that a stage name or path stands for."""
    if reference is None:
        return None
    if is_path(reference):
        return str(Path(reference).expanduser().absolute())
    return str(context.result_of(reference) / CHECKPOINT_FOLDER)


def selection_metric(context: StageContext) -> str | None:
    """The metric that chooses the checkpoint to keep; None keeps the last."""
    section: TrainSection = context.section
    if section.sweep is not None:
        return section.sweep.metric or main_metric(section)
    if not isinstance(section, FinetuneSection) or section.validation_split is None:
        return None
    return main_metric(section)


def run_name(context: StageContext) -> str:
    """Name of the stage's run in Ray's dashboard: the same again on resuming, which is how Ray finds its checkpoints."""
    return f"{context.plan.experiment.name}-{context.step.name}"


class RecordForwarder:
    """Sends records of a training to the live line and to MLflow; steps that an earlier invocation sent are left out."""

    def __init__(self, context: StageContext, prefix: str = "", run: Any = None):
        self.context, self.prefix, self.run = context, prefix, run or context.run
        self.latest: Record | None = None
        self.since = time.time()  # warnings of earlier invocations were read then

    def all(self, follower: Follower) -> None:
        """Forward what is new in a file."""
        for record in follower.new():
            self(record)

    def __call__(self, record: Record) -> None:
        """Forward one record."""
        if record.kind == "warning":
            if record.seconds < self.since:
                return
            self.context.run.tracker.reporter.warn(f"{self.context.step.name}: {record.text}")
            return
        self.latest = record
        if record.kind == "evaluation":
            values = {
                f"{'train' if name == MEAN_LOSS else 'validation'}/{name}": value for name, value in record.values.items()
            }
        else:
            values = {f"train/{name}": value for name, value in record.values.items()}
        if values:
            self.run.metrics(values, record.step, record.seconds)
        figures = record.values if record.kind == "train" else self.context.line.figures
        self.context.line.update(f"{self.prefix}step", record.step, record.total, figures)


def training_outcome(context: StageContext, records: list[Record], best: Record, extra: str) -> StageOutcome:
    """What a training stage reports."""
    section: TrainSection = context.section
    trained = [record for record in records if record.kind == "train" and "loss" in record.values]
    metrics = dict(best.values)
    if trained:
        metrics["final_loss"] = trained[-1].values["loss"]
        metrics["samples_per_second"] = sorted(r.values["samples_per_second"] for r in trained)[len(trained) // 2]
        metrics["data_wait_share"] = sum(r.values["data_wait_share"] for r in trained) / len(trained)
    metric = selection_metric(context)
    parts = [f"{records[-1].total} steps"]
    if metric is not None:
        data = f" on {section.validation_split}" if isinstance(section, FinetuneSection) else ""
        where = f" (step {best.step})" if best.step != best.total else ""
        parts.append(f"best {metric} {format_metric(metric, best.values[metric])}{data}{where}")
    elif trained:
        parts.append(f"loss {trained[0].values['loss']:.2f} to {trained[-1].values['loss']:.2f}")
    if trained:
        parts.append(f"{metrics['samples_per_second']:.0f} samples/s")
    artifacts = [
        context.folder / name
        for name in ("curves.png", "sweep.png", "sweep-curves.png", "trials.json", "trials.csv")
        if (context.folder / name).exists()
    ]
    details: dict[str, Any] = {"best_step": best.step, "steps": best.total}
    if metric is not None:
        details |= {"selected_by": metric, "selected_mode": section.sweep.mode if section.sweep is not None else "max"}
    return StageOutcome(
        ", ".join(parts) + extra,
        metrics=metrics,
        outputs={"checkpoint": CHECKPOINT_FOLDER, "progress": PROGRESS_FILE},
        artifacts=artifacts,
        checkpoint=context.folder / CHECKPOINT_FOLDER,
        details={**details, "workers": noted_workers(context.folder)},
    )
