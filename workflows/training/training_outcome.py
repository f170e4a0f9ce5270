"""What a training stage reports of itself: figures, files and the sentence in the terminal."""

from __future__ import annotations

from typing import Any

from workflows.records.outcome import StageOutcome
from workflows.spec.metrics import format_metric
from workflows.spec.sections import FinetuneSection, TrainSection
from workflows.stages.context import StageContext
from workflows.training.progress import PROGRESS_FILE, Record
from workflows.training.stage_checkpoint import CHECKPOINT_FOLDER, selection_metric
from workflows.training.whereabouts import noted_workers


def training_outcome(context: StageContext, records: list[Record], best: Record, extra: str) -> StageOutcome:
    """Collect what a training stage reports."""
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
