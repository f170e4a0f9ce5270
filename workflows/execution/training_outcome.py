"""Collects what a training stage reports: figures, files and the sentence in the terminal."""

from __future__ import annotations

from typing import Any

from cosa.evaluation.metric import Metric
from cosa.tasks.all_tasks import TASKS
from workflows.execution.context import StageContext
from workflows.execution.progress import PROGRESS_FILE, Record
from workflows.execution.split_size import split_size
from workflows.execution.training_stage import TrainSection
from workflows.execution.whereabouts import noted_workers
from workflows.records.outcome import StageOutcome
from workflows.results.layout import CHECKPOINT_FOLDER, PROFILE_FOLDER
from workflows.terminal.reporter import rate


def training_outcome(context: StageContext[TrainSection], records: list[Record], best: Record, extra: str) -> StageOutcome:
    """Collect the outcome of a training stage. extra: is appended to the sentence in the terminal."""
    validation = context.kind.validation(context.section)
    trained = [record for record in records if record.kind == "train" and "loss" in record.values]
    metrics = dict(best.values)
    if trained:
        metrics["final_loss"] = trained[-1].values["loss"]
        metrics["samples_per_second"] = sorted(r.values["samples_per_second"] for r in trained)[len(trained) // 2]
        metrics["data_wait_share"] = sum(r.values["data_wait_share"] for r in trained) / len(trained)
    metric: Metric | None = context.kind.selection_metric(context.section)
    parts = [f"{records[-1].total} steps"]
    details: dict[str, Any] = {"best_step": best.step, "steps": best.total}
    if validation is not None:
        dataset = context.dataset(validation.dataset)
        details["measured"] = split_size(TASKS[validation.task], dataset, validation.split, context.section)
    if metric is not None:
        data = f" on {validation.split}" if validation is not None else ""
        where = f" (step {best.step})" if best.step != best.total else ""
        parts.append(f"best {metric.label or metric.name} {metric.format(best.values[metric.name])}{data}{where}")
    elif trained:
        first = f"{trained[0].values['loss']:.2f} to " if len(trained) > 1 else ""
        parts.append(f"loss {first}{trained[-1].values['loss']:.2f}")
    if trained:
        parts.append(rate(metrics["samples_per_second"]))
    artifacts = [
        context.folder / name
        for name in ("curves.png", "sweep.png", "sweep-curves.png", "trials.json", "trials.csv")
        if (context.folder / name).exists()
    ]
    artifacts += sorted((context.folder / PROFILE_FOLDER).glob("*"))
    if metric is not None:
        details |= {"selected_by": metric.name, "selected_mode": metric.mode}
    return StageOutcome(
        ", ".join(parts) + extra,
        metrics=metrics,
        outputs={"checkpoint": CHECKPOINT_FOLDER, "progress": PROGRESS_FILE},
        artifacts=artifacts,
        checkpoint=context.folder / CHECKPOINT_FOLDER,
        details={**details, "workers": noted_workers(context.folder)},
    )
