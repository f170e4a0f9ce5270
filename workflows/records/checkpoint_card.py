"""Writes beside the weights of a checkpoint what somebody needs who has only its folder: settings, spec, and a model card."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from cosa.checkpoints.locate import NATIVE_CONFIG
from cosa.checkpoints.origin import Origin
from cosa.checkpoints.settings import ORIGIN, SETTINGS, SPEC, read_origin, read_settings
from cosa.data.extraction_settings import ExtractionSettings
from cosa.model_config import ModelConfig
from cosa.tasks.all_tasks import TASKS, label_of
from workflows.planning.plan import Plan, Step
from workflows.records.headline import main_metrics
from workflows.records.markdown_table import number, table_head, table_row
from workflows.records.resolved_spec import resolved_spec
from workflows.records.served_model import write_mlmodel
from workflows.results.atomic import write_atomically
from workflows.results.manifest import Manifest
from workflows.spec.experiment import Experiment
from workflows.spec.extractions import extraction_trained_on
from workflows.spec.references import is_path
from workflows.spec.stage_kinds import kind_of

CARD = "README.md"


def describe_checkpoint(folder: Path, step: Step, plan: Plan, manifest: Manifest) -> None:
    """Complete the settings beside a checkpoint, write its spec and its card, and let MLflow serve it.

    Args:
        folder: of the checkpoint; workers have written the fields of clips and evaluation.
        step: the stage that made it.
        plan: of the experiment.
        manifest: of the result.
    """
    settings = {
        **(read_settings(folder) or {}),
        "behaviour": getattr(step.section, "behaviour", "default"),
        "extraction": extraction_trained_on(step.name, plan.experiment),
        ORIGIN: _origin(step, plan, manifest).model_dump(),
    }
    write_atomically(folder / SETTINGS, json.dumps(settings, indent=2, ensure_ascii=False) + "\n")
    write_atomically(folder / SPEC, json.dumps(resolved_spec(plan), indent=2) + "\n")
    write_atomically(folder / CARD, card(settings, ModelConfig.model_validate_json((folder / NATIVE_CONFIG).read_bytes())))
    write_mlmodel(folder, settings)


def _origin(step: Step, plan: Plan, manifest: Manifest) -> Origin:
    """Return where a checkpoint comes from."""
    lineage = kind_of(step.section).lineage(step.section)
    assert lineage is not None
    return Origin(
        experiment=manifest.experiment,
        stage=manifest.stage,
        fingerprint=manifest.fingerprint,
        started=manifest.started,
        tasks=_tasks(step.name, plan.experiment),
        starts_from=lineage.starts_from,
        trained_on=["/".join(pair) for pair in lineage.trained_on],
        selected_on="/".join(lineage.selected_on) if lineage.selected_on is not None else None,
        amounts=dict(manifest.amounts),
        metrics={name: manifest.metrics[name] for name in _shown(step, manifest)},
        steps=manifest.details.get("best_step"),
        seed=manifest.seed,
        license=plan.experiment.section.license,
        command=manifest.command,
        git=dict(manifest.git),
        versions=dict(manifest.versions),
    )


def _tasks(stage: str, experiment: Experiment) -> list[str]:
    """Return the tasks that a model was finetuned for, the first one first, also before the experiment began."""
    found: list[str] = []
    name: str | None = stage
    while name is not None and name in experiment.stages:
        lineage = kind_of(experiment.stages[name]).lineage(experiment.stages[name])
        if lineage is None:
            break
        found += [lineage.task] if lineage.task is not None else []
        name = lineage.starts_from
    if name is not None and is_path(name):
        found += reversed(read_origin(Path(name).expanduser()).tasks)
    return list(dict.fromkeys(reversed(found)))


def _shown(step: Step, manifest: Manifest) -> list[str]:
    """Return names of the metrics that people compare models by."""
    labelled = [metric.name for task in TASKS.values() for metric in task.metrics if metric.label is not None]
    return [name for name in labelled if name in manifest.metrics] or list(main_metrics(step.kind, manifest.metrics))


def card(settings: Mapping[str, Any], model: ModelConfig) -> str:
    """Return a model card in Markdown, as model hubs show it, of what is recorded beside a checkpoint, and of its model."""
    origin = Origin.model_validate(settings[ORIGIN])
    parts = [
        _header(origin),
        _opening(origin),
        _use(origin),
        _needs(settings, origin, model),
        _figures(origin),
        _training(origin),
    ]
    return "\n".join(filter(None, parts))


def _header(origin: Origin) -> str:
    tasks = origin.tasks
    data: dict[str, Any] = {
        "library_name": "cosa-experiments",
        "tags": ["cosa", "video-language", *(task.replace("_", "-") for task in tasks)],
    }
    pipeline = TASKS[tasks[-1]].pipeline if tasks and tasks[-1] in TASKS else None
    if pipeline is not None:
        data["pipeline_tag"] = pipeline
    if origin.license is not None:
        data["license"] = origin.license
    return f"---\n{yaml.safe_dump(data, sort_keys=False)}---\n"


def _opening(origin: Origin) -> str:
    did = f"finetuned for {_words(origin.tasks)}" if origin.tasks else "pretrained"
    data = f" on {_words(origin.trained_on)}" if origin.trained_on else ""
    return (
        f"# {origin.experiment}/{origin.stage}\n\n"
        f"A COSA video-language model (arXiv 2306.09085), {did}{data} with COSA Experiments.\n"
    )


def _use(origin: Origin) -> str:
    tasks = [TASKS[name] for name in origin.tasks if name in TASKS]
    calls = [task.example_call for task in tasks if task.example_call] or ['model.embed_video("clip.mp4")']
    commands = "\n".join(f"{task.example_command} --checkpoint THIS_FOLDER" for task in tasks if task.example_command)
    lines = "\n".join(["import cosa", 'model = cosa.load("THIS_FOLDER")', *calls])
    return f"## Use\n\n```python\n{lines}\n```\n" + (f"\n```\n{commands}\n```\n" if commands else "")


def _needs(settings: Mapping[str, Any], origin: Origin, model: ModelConfig) -> str:
    """Return what using the model takes, without settings of tasks that it was not finetuned for; a pretrained one has all."""
    known = [TASKS[name].settings.model_fields for name in origin.tasks if name in TASKS]
    of_tasks = {
        "beam_size": f"{settings.get('beam_size')} beams, length penalty {settings.get('length_penalty')}, at most "
        f"{settings.get('max_caption_tokens')} tokens",
        "max_answer_tokens": f"greedy, at most {settings.get('max_answer_tokens')} tokens",
        "rerank": settings.get("rerank"),
    }
    used = {name: text for name, text in of_tasks.items() if not known or any(name in fields for fields in known)}
    extraction = settings.get("extraction")
    frames = settings.get("eval_frames") or settings.get("train_frames")
    resized = {"none": "resized to a square", "crop_flip": "shorter side resized, centre cropped"}
    rows = {
        "frames of a clip": frames,
        "taken at": ExtractionSettings(**extraction).taken_at
        if extraction
        else "unknown: from frames or images of a person's own",
        "resolution": f"{settings.get('resolution') or model.vision.resolution} pixels",
        "pictures": resized.get(str(settings.get("transforms")), settings.get("transforms")),
        "longest text": f"{settings.get('max_text_tokens')} tokens",
        "captions": used.get("beam_size"),
        "answers": used.get("max_answer_tokens"),
        "re-ranked clips": used.get("rerank"),
    }
    return "## What it needs\n\n" + _table(rows) + "\n`settings.json` has all of it, and `cosa` takes it from there.\n"


def _figures(origin: Origin) -> str:
    if not origin.metrics:
        return ""
    on = origin.selected_on
    measured = f"Measured on {on}, by which the checkpoint was selected." if on else "At the end of training."
    text = table_head(["metric", "value"])
    for name, value in origin.metrics.items():
        text += table_row(label_of(name), number(value) if label_of(name) != name else f"{value:.4g}")
    return f"## Figures\n\n{measured}\n\n{text}"


def _training(origin: Origin) -> str:
    amounts = "; ".join(f"{name}: {amount}" for name, amount in origin.amounts.items())
    rows = {
        "data": ", ".join(origin.trained_on),
        "amounts": amounts,
        "starts from": origin.starts_from or "its pretrained encoders, or random weights: see config.json",
        "step": origin.steps,
        "seed": origin.seed,
        "command": f"`{origin.command}`",
        "spec": f"`{SPEC}` beside the weights, with all fields as they were: `cosa run-experiment {SPEC} --until "
        f"{origin.stage}`",
        "code": origin.git.get("commit", ""),
        "versions": ", ".join(f"{name} {version}" for name, version in origin.versions.items()),
        "fingerprint": origin.fingerprint,
        "license": origin.license or "not stated: the terms of the data and of the weights that it starts from apply",
    }
    return "## Training\n\n" + _table(rows)


def _table(rows: Mapping[str, Any]) -> str:
    return table_head(["", ""]) + "".join(
        table_row(name, str(value)) for name, value in rows.items() if value not in (None, "")
    )


def _words(names: Sequence[str]) -> str:
    """Return names in a sentence: 'a, b and c'."""
    spoken = [name.replace("_", " ") for name in names]
    return " and ".join(filter(None, [", ".join(spoken[:-1]), *spoken[-1:]]))
