"""Does the work of an evaluate stage: Ray workers evaluate the checkpoint, and the driver computes the baselines."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any

from cosa.data.dataset_files import DatasetFiles
from cosa.evaluation.evaluation_result import EvaluationResult
from cosa.evaluation.sample_scores import SampleScores
from cosa.tasks.all_tasks import TASKS, all_metrics
from cosa.tasks.task import Baseline
from workflows.cluster.ray_cluster import WorkerResources
from workflows.execution import whereabouts
from workflows.execution.context import StageContext
from workflows.execution.fit import POLL_SECONDS, fit_in_background, trainer_of, user_error_in
from workflows.execution.job import Job
from workflows.execution.split_size import split_size
from workflows.execution.stage_checkpoint import checkpoint_folder
from workflows.execution.whereabouts import noted_workers
from workflows.records.gallery import Evaluated, write_gallery
from workflows.records.intervals import GALLERY, INTERVALS, PARTS, interval_text
from workflows.records.outcome import StageOutcome
from workflows.records.score_table import write_scores
from workflows.results.layout import RAY_FOLDER

Context = StageContext[Any]  # of `workflows.stages.evaluate.EvaluateSection`, which stands above


def evaluate(context: Context) -> StageOutcome:
    """Compute metrics and predictions of every task, each beside its baseline."""
    section = context.section
    context.line.update("starting Ray")
    resources = context.cluster.resources_for(context.kind.workers(section))
    dataset = context.dataset(section.dataset)
    job = Job(
        section=section.model_dump(mode="json"),
        datasets={section.dataset: dataset},
        seed=context.seed,
        folder=str(context.folder),
        checkpoint=checkpoint_folder(context, section.checkpoint),
        extensions=context.plan.experiment.extensions,
    )
    context.line.update(f"{', '.join(section.tasks)} on {section.dataset}/{section.split}")
    of_data = cache(
        lambda: [
            (_baseline(context, name, dataset), split_size(TASKS[name], dataset, section.split, section))
            for name in section.tasks
        ]
    )
    asked = time.time()
    results = _run(context, {"job": job.plain()}, resources, meanwhile=of_data)
    context.line.starting_seconds += whereabouts.seconds_to_start(context.folder, asked)
    baselines, measured = zip(*of_data(), strict=True)
    outcome = StageOutcome("", details={"workers": noted_workers(context.folder)})
    for name, baseline in zip(section.tasks, baselines, strict=True):
        _add_task(context, outcome, name, dataset, results[name], baseline)
    outcome.details["measured"] = "; ".join(dict.fromkeys(measured))
    summaries = [TASKS[name].summary(results[name]["metrics"]) for name in section.tasks]
    outcome.summary = ", ".join(filter(None, summaries))
    return outcome


def _add_task(
    context: Context,
    outcome: StageOutcome,
    name: str,
    dataset: DatasetFiles,
    result: Mapping[str, Any],
    baseline: Baseline,
) -> None:
    """Add the metrics, baselines and files of one task to the outcome. result: its metrics and predictions."""
    section, task = context.section, TASKS[name]
    metrics, predictions = result["metrics"], result["predictions"]
    prefix = f"{name}/" if len(section.tasks) > 1 and set(metrics) & set(outcome.metrics) else ""
    outcome.metrics |= {prefix + metric: value for metric, value in metrics.items()}
    compared = {metric: value for metric, value in baseline.metrics.items() if metric in metrics}
    outcome.baselines |= {prefix + metric: value for metric, value in compared.items()}
    outcome.baseline_names |= {prefix + metric: baseline.name for metric in compared}
    outcome.baseline_names |= {prefix + metric: why for metric, why in baseline.left_out.items() if metric in metrics}
    outcome.details |= baseline.details
    examples = [line for shown in _a_few(predictions) if (line := task.example(shown))]
    if examples:
        outcome.details.setdefault("examples", []).extend(examples)
    path = context.folder / f"predictions_{name}.json"
    path.write_text(json.dumps(predictions, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    outcome.outputs[f"predictions_{name}"] = path.name
    scores = task.sample_scores(EvaluationResult(metrics, predictions, result["scores"]))
    if scores is not None:
        _add_scores(context, outcome, name, metrics, scores, prefix)
    gallery = context.folder / f"gallery_{name}.html"
    evaluated = Evaluated(task, predictions, scores, _metric_rows(outcome, prefix, metrics), _part_rows(outcome, name))
    title = f"{context.step.name}: {' '.join(name.split('_'))} on {section.dataset}/{section.split}"
    write_gallery(gallery, title, dataset, evaluated, context.seed)
    outcome.outputs[f"{GALLERY}{name}"] = gallery.name
    pictures = task.pictures(dataset, predictions, context.folder, context.step.name)
    outcome.artifacts += [path, gallery, *pictures, *task.submission(predictions, context.folder, section)]


def _add_scores(
    context: Context, outcome: StageOutcome, name: str, metrics: Mapping[str, float], scores: SampleScores, prefix: str
) -> None:
    """Add the table of what each sample scored, and the intervals that follow from it."""
    scores.check(name, metrics)
    path = context.folder / f"scores_{name}.parquet"
    write_scores(path, scores, metrics)
    outcome.outputs[f"scores_{name}"] = path.name
    outcome.artifacts.append(path)
    intervals = scores.intervals(metrics, context.seed)
    if intervals:
        outcome.details.setdefault(INTERVALS, {}).update(
            {prefix + metric: list(interval) for metric, interval in intervals.items()}
        )
    parts = scores.parts(metrics, context.seed)
    if parts:
        outcome.details.setdefault(PARTS, {})[name] = parts


def _metric_rows(outcome: StageOutcome, prefix: str, metrics: Mapping[str, float]) -> list[dict[str, str]]:
    """The metrics that have a label, with their intervals and baselines, as texts."""
    rows = []
    for metric in all_metrics():
        if metric.name in metrics and metric.label is not None:
            name = prefix + metric.name
            baseline = outcome.baselines.get(name)
            known = metric.format(baseline) if baseline is not None else ""
            rows.append(
                {
                    "label": metric.label,
                    "value": metric.format(metrics[metric.name]),
                    "interval": interval_text(outcome.details.get(INTERVALS, {}).get(name)),
                    "baseline": f"{known} {outcome.baseline_names.get(name, '')}".strip(),
                }
            )
    return rows


def _part_rows(outcome: StageOutcome, name: str) -> list[dict[str, str]]:
    """Figures of parts of the split, as texts."""
    return [
        {
            "label": label,
            "value": f"{part['value']:.1f}",
            "interval": interval_text(part["interval"]),
            "samples": str(part["samples"]),
        }
        for label, part in outcome.details.get(PARTS, {}).get(name, {}).items()
    ]


def _a_few(predictions: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Return three predictions, from the beginning, the middle and the end: they are of different clips."""
    return [predictions[place] for place in sorted({0, len(predictions) // 2, len(predictions) - 1})] if predictions else []


def _baseline(context: Context, name: str, dataset: DatasetFiles) -> Baseline:
    """Compute the scores that are reached without looking at the clips; give the reason where that is not possible."""
    section, task = context.section, TASKS[name]
    for use in task.baseline_annotations(section, section.baseline_split):
        if dataset.splits.get(use.split, {}).get(use.kind) is None:
            return Baseline({}, "", {"baseline": f"none: the dataset has no {use.kind} in a split {use.split!r}"})
    baseline = task.baseline(dataset, section.split, section.baseline_split, section)
    return baseline or Baseline({}, "", {"baseline": f"none: {name} has no baseline for these metrics"})


def _run(context: Context, config: dict[str, Any], resources: WorkerResources, meanwhile: Callable[[], Any]) -> dict[str, Any]:
    """Let Ray workers compute metrics and predictions, by task.

    meanwhile: what the driver does once they have been asked; it may be called again.
    """
    import ray

    from workflows.execution.workers import evaluation_worker

    if resources.workers > 1:
        trainer = trainer_of(
            evaluation_worker, config, resources, name=f"{context.plan.experiment.name}-{context.step.name}",
            storage=context.folder / RAY_FOLDER, can_be_orphaned=context.cluster.is_shared,
        )  # fmt: skip
        found: dict[str, Any] = fit_in_background(trainer, meanwhile).return_value
        return found
    # One worker needs no worker group: a plain task starts in a fraction of the time, and Ray reuses its process.
    largest = max(int(node["Resources"].get("CPU", 1)) for node in ray.nodes() if node["Alive"])
    threads = resources.cpus if resources.gpus else largest
    task = ray.remote(num_cpus=threads, num_gpus=resources.gpus, max_retries=2)(evaluation_worker)
    reference = task.options(name=f"evaluate {context.step.name}").remote({**config, "threads": threads})
    try:
        meanwhile()
        while not ray.wait([reference], timeout=POLL_SECONDS)[0]:
            continue
        found = ray.get(reference)
    except ray.exceptions.RayTaskError as error:
        raise user_error_in(error) from None
    return found
