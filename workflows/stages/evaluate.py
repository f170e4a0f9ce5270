"""Evaluation of a checkpoint on a split, with the baselines that its numbers have to be compared with."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from cosa.data.dataset_files import DatasetFiles, caption_entries, caption_references, evaluated_clips, question_entries
from cosa.errors import UserError
from workflows.records.outcome import StageOutcome
from workflows.records.plots import plot_retrieved
from workflows.spec.sections import EvaluateSection
from workflows.stages.context import StageContext
from workflows.training.checkpoint_storage import RAY_FOLDER
from workflows.training.fit import POLL_SECONDS, fit_in_background, trainer_of, user_error_in
from workflows.training.job import Job
from workflows.training.stage_checkpoint import checkpoint_folder
from workflows.training.whereabouts import noted_workers

QUERIES_SHOWN = 6


def evaluate(context: StageContext) -> StageOutcome:
    """Metrics and predictions of every task, each beside its baseline."""
    section: EvaluateSection = context.section
    context.line.update("starting Ray")
    resources = context.cluster.resources_for(section.workers or 1)
    job = Job(
        section=section.model_dump(mode="json"),
        datasets={section.dataset: context.dataset(section.dataset)},
        seed=context.seed,
        folder=str(context.folder),
        checkpoint=checkpoint_folder(context, section.checkpoint),
    )
    context.line.update(f"{', '.join(section.tasks)} on {section.dataset}/{section.split}")
    results = _run(context, {"job": job.plain()}, resources)
    outcome = StageOutcome("", outputs={}, details={"workers": noted_workers(context.folder)})
    several = len(section.tasks) > 1
    parts = []
    for task in section.tasks:
        metrics, predictions = results[task]["metrics"], results[task]["predictions"]
        context.line.update(f"{task}: baselines")
        baselines, names, note = _baselines(task, job.datasets[section.dataset], section)
        prefix = f"{task}/" if several and set(metrics) & set(outcome.metrics) else ""
        outcome.metrics |= {prefix + name: value for name, value in metrics.items()}
        outcome.baselines |= {prefix + name: value for name, value in baselines.items() if name in metrics}
        outcome.baseline_names |= {prefix + name: names for name in baselines if name in metrics}
        outcome.details |= note
        path = context.folder / f"predictions_{task}.json"
        path.write_text(json.dumps(predictions, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        outcome.artifacts.append(path)
        outcome.outputs[f"predictions_{task}"] = path.name
        if task == "retrieval":
            outcome.artifacts.append(_show_retrieved(context, job.datasets[section.dataset], predictions))
        if task == "question_answering" and section.submission:
            outcome.artifacts.append(_write_submission(context.folder, predictions))
        parts.append(_one_line(task, metrics))
    outcome.summary = ", ".join(part for part in parts if part)
    return outcome


def _run(context: StageContext, config: dict[str, Any], resources: Any) -> dict[str, Any]:
    import ray

    from workflows.training.workers import evaluation_worker

    if resources.workers > 1:
        trainer = trainer_of(
            evaluation_worker, config, resources, name=f"{context.plan.experiment.name}-{context.step.name}",
            storage=context.folder / RAY_FOLDER, can_be_orphaned=context.cluster.is_shared,
        )  # fmt: skip
        return fit_in_background(trainer, lambda: None).return_value
    # One worker needs no worker group: a plain task starts in a fraction of the time, and its process is used again.
    largest = max(int(node["Resources"].get("CPU", 1)) for node in ray.nodes() if node["Alive"])
    threads = resources.cpus if resources.gpus else largest
    task = ray.remote(num_cpus=threads, num_gpus=resources.gpus, max_retries=2)(evaluation_worker)
    reference = task.options(name=f"evaluate {context.step.name}").remote({**config, "threads": threads})
    try:
        while not ray.wait([reference], timeout=POLL_SECONDS)[0]:
            continue
        return ray.get(reference)
    except ray.exceptions.RayTaskError as error:
        raise user_error_in(error) from None


def _baselines(task: str, dataset: DatasetFiles, section: EvaluateSection) -> tuple[dict[str, float], str, dict[str, Any]]:
    """Metrics of knowing nothing: by metric, what it is called, and what it said."""
    if task == "retrieval":
        from cosa.evaluation.retrieval_metrics import retrieval_chance

        chance = retrieval_chance(len(evaluated_clips(dataset, section.split)))
        return chance, "chance", {}
    wanted = "questions" if task == "question_answering" else "captions"
    if dataset.splits.get(section.baseline_split, {}).get(wanted) is None:
        return {}, "", {"baseline": f"none: the dataset has no {wanted} in a split {section.baseline_split!r}"}
    if task == "captioning":
        from cosa.evaluation.caption_metrics import quick_caption_metrics
        from cosa.evaluation.constant_caption import constant_caption_baseline

        captions = [text for entry in caption_entries(dataset, section.baseline_split) for text in entry.captions]
        quick = quick_caption_metrics(section.caption_metrics)
        caption, metrics = constant_caption_baseline(captions, caption_references(dataset, section.split), quick)
        return metrics, "constant caption", {"constant_caption": caption}
    if section.submission:
        return {}, "", {}
    from cosa.evaluation.answer_metrics import most_frequent_answer_baseline, vqa_accuracy

    train_answers = [entry.answers[0] for entry in question_entries(dataset, section.baseline_split)]
    answers = [entry.answers for entry in question_entries(dataset, section.split)]
    answer, metrics = most_frequent_answer_baseline(train_answers, answers)
    if section.soft_accuracy:
        metrics = {"accuracy": vqa_accuracy([answer] * len(answers), answers)["vqa_accuracy"]}
    return metrics, "most frequent answer", {"most_frequent_answer": answer}


def _one_line(task: str, metrics: dict[str, float]) -> str:
    if task == "retrieval":
        return f"R@1 {metrics['text_to_video_r1']:.1f}, R@5 {metrics['text_to_video_r5']:.1f}"
    if task == "captioning":
        return ", ".join(f"{name} {metrics[name]:.1f}" for name in ("cider", "bleu4") if name in metrics)
    return f"accuracy {metrics['accuracy']:.1f}" if "accuracy" in metrics else "submission.json written"


def _show_retrieved(context: StageContext, dataset: DatasetFiles, predictions: list[dict[str, Any]]) -> Path:
    """retrieved.png: queries spread evenly over the split, so that failures are seen as often as they occur."""
    from cosa.data.frames import FrameFolders, ImageFolder, load_frames

    source = FrameFolders(Path(str(dataset.frames))) if dataset.media == "video" else ImageFolder(Path(dataset.root))
    rows = np.unique(np.linspace(0, len(predictions) - 1, QUERIES_SHOWN).round().astype(int))
    chosen = [predictions[row] for row in rows]
    pictures: dict[str, Any] = {}
    for prediction in chosen:
        for video_id in [prediction["video_id"], *prediction["ranked"][:4]]:
            if video_id not in pictures:
                paths = source.frame_paths(video_id)
                middle = [paths[int((i + 0.5) * len(paths) / 4)] for i in range(4)] if len(paths) > 1 else paths
                pictures[video_id] = load_frames(middle).permute(0, 2, 3, 1).numpy()
    path = context.folder / "retrieved.png"
    plot_retrieved(chosen, pictures, path, f"{context.step.name}: clips retrieved for texts of {dataset.name}")
    return path


def _write_submission(folder: Path, predictions: list[dict[str, Any]]) -> Path:
    """submission.json as VQAv2's server wants it: [{"question_id": number, "answer": text}]."""
    lacking = sum(prediction["question_id"] is None for prediction in predictions)
    if lacking:
        raise UserError(f"a submission needs a question_id for every question; {lacking} have none")
    rows = [
        {
            "question_id": int(p["question_id"]) if str(p["question_id"]).isdigit() else p["question_id"],
            "answer": p["answer"],
        }
        for p in predictions
    ]
    path = folder / "submission.json"
    path.write_text(json.dumps(rows) + "\n", encoding="utf-8")
    return path
