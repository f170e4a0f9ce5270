"""Extraction, training and evaluation in one call each, in this process: what stages do on Ray, for scripts and notebooks."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError

from cosa.behaviour import BEHAVIOURS, DEFAULT
from cosa.checkpoints.native import save_checkpoint
from cosa.checkpoints.settings import SETTINGS
from cosa.data.dataset_files import DatasetFiles
from cosa.data.decoding_settings import DecodingSettings
from cosa.data.extraction import extract_frames
from cosa.data.extraction_settings import ExtractionSettings
from cosa.data.frame_digests import FrameDigests
from cosa.data.video_index import VideoIndex
from cosa.device import usable_device
from cosa.errors import DataError, UserError
from cosa.evaluation.evaluation_result import EvaluationResult
from cosa.inference.predictor import Predictor, load
from cosa.inference.reading import read_ahead
from cosa.inference.settings import changed
from cosa.inference.sources import local_checkpoint
from cosa.model_config import ModelConfig
from cosa.objectives.all_objectives import settings_of as settings_of_objectives
from cosa.section import checked, with_fields
from cosa.tasks.all_tasks import TASKS, EvaluationSettings, evaluation_fields
from cosa.tasks.evaluator import Evaluator
from cosa.tasks.task import Task
from cosa.training.building import build_model, build_trainer, finetuning_corpus
from cosa.training.training_settings import TrainingSettings

OnLog = Callable[[int, Mapping[str, float]], None]


def extract(dataset: DatasetFiles, frames: str | Path, **settings: Any) -> DatasetFiles:
    """Extract the frames of all clips that the annotations of a dataset name; clips that have theirs are left as they are.

    Args:
        dataset: of videos.
        frames: folder for `<video_id>/frame_0001.jpg` and so on.
        settings: fields of `ExtractionSettings`, such as `fps=4`.

    Returns:
        the dataset with these frames.

    Raises:
        DataError: clips are missing or damaged (the first is named), or there are frames that were taken otherwise.
    """
    chosen, folder = checked(ExtractionSettings, settings), Path(frames)
    clips = dataset.named_media(("captions", "questions"))  # References are of these, or of clips that nobody looks at.
    known, name = VideoIndex(Path(dataset.root), dataset.linked_folders), chosen.model_dump_json()

    def one(clip: str) -> None:
        if (folder / clip).exists():
            FrameDigests.read(folder / clip, clip, name)
            return
        record = extract_frames(known.find(clip), folder / clip, chosen, video_id=clip, clip=clip, extraction=name)
        if record.error is not None:
            raise DataError(record.error)

    for _ in read_ahead(clips, one):
        pass
    return replace(dataset, frames=str(folder))


def train(
    task: str,
    dataset: DatasetFiles,
    out: str | Path,
    *,
    split: str = "train",
    init_from: str | Path | None = None,
    model: ModelConfig | Mapping[str, Any] | None = None,
    epochs: float = 1.0,
    batch_size: int = 64,
    seed: int = 50,
    device: str | torch.device | None = None,
    on_log: OnLog | None = None,
    **settings: Any,
) -> Predictor:
    """Finetune a model for a task on one device, and save its last weights.

    Args:
        task: 'retrieval', 'captioning' or 'question_answering', or one that was registered.
        dataset: whose frames, or images, are there (see `extract`).
        out: folder of the checkpoint; it must not exist.
        split: to train on.
        init_from: a checkpoint, as of `cosa.load`; left out: a new model.
        model: what a new model is made of, by fields of `ModelConfig`.
        epochs: passes over the split.
        batch_size: samples a step.
        seed: of everything that is drawn.
        device: left out: a GPU if there is one, else the CPU.
        on_log: is given the number of steps done and a record: loss, learning rate, speed.
        settings: fields of `TrainingSettings`, of the task and its objectives (`cosa schema finetune`), such as
            `learning_rate=2e-5`, `train_frames=8`.

    Returns:
        the trained model.

    Raises:
        UserError: a setting, the dataset, the checkpoint or the device is wrong.
    """
    folder = Path(out)
    if folder.exists():
        raise UserError(f"{folder.absolute()} exists; choose another folder for the checkpoint, or remove it")
    chosen, where = _task(task), usable_device(device)
    section = task_training_settings(chosen, settings)
    behaviour = BEHAVIOURS[settings["behaviour"]] if "behaviour" in settings else DEFAULT
    start = local_checkpoint(init_from) if init_from is not None else None
    config = ModelConfig.model_validate(model or {}) if start is None else None
    built = build_model(section, checkpoint=start, config=config, seed=seed)
    corpus = finetuning_corpus(
        chosen, dataset, split, section, epochs=epochs, batch_size=batch_size,
        resolution=built.config.vision.resolution, behaviour=behaviour,
    )  # fmt: skip
    trainer = build_trainer(built, [corpus], section, device=where, seed=seed, behaviour=behaviour)
    trainer.run(on_log=on_log or (lambda *_: None))
    with trainer.model_to_validate() as trained:
        save_checkpoint(trained, folder)
    fields = section.model_dump(mode="json", include=evaluation_fields(TASKS.values()))
    about = {**fields, "task": task, "extraction": _extraction_of(dataset)}
    (folder / SETTINGS).write_text(json.dumps(about, indent=2) + "\n", encoding="utf-8")
    return load(folder, device=where)


def evaluate(
    model: Predictor | str | Path,
    dataset: DatasetFiles,
    split: str = "test",
    tasks: Sequence[str] = (),
    *,
    device: str | torch.device | None = None,
    **settings: Any,
) -> dict[str, EvaluationResult]:
    """Evaluate a model on a split: metrics and predictions by task.

    Args:
        model: loaded, or a checkpoint as of `cosa.load`.
        dataset: whose frames, or images, are there.
        split: to evaluate on.
        tasks: left out: the one that the checkpoint was finetuned for.
        device: of a model that is to be loaded.
        settings: fields that differ from those of the checkpoint, such as `rerank=100`.

    Raises:
        UserError: a setting, the dataset or the checkpoint is wrong, or no task is known.
    """
    used = model if isinstance(model, Predictor) else load(model, device=device)
    chosen = changed(used.settings, **settings)
    names = list(tasks) or ([chosen.task] if chosen.task is not None else [])
    if not names:
        raise UserError("the checkpoint does not say what it was finetuned for; give tasks, such as ['retrieval']")
    for name in names:
        _task(name)
    evaluator = Evaluator(
        dataset, split, chosen, resolution=used.model.config.vision.resolution, device=used.device,
        behaviour=BEHAVIOURS[chosen.behaviour],
    )  # fmt: skip
    return {name: evaluator.run(used.model, name) for name in names}


def _task(name: str) -> Task[Any]:
    if name not in TASKS:
        raise UserError(f"no task {name!r}; expected one of {', '.join(TASKS)}")
    return TASKS[name]


def task_training_settings(task: Task[Any], given: Mapping[str, Any]) -> Any:
    """The settings of training for a task, its objectives included.

    given: by name; those that are left out have their defaults.

    Raises:
        UserError: a value is wrong, or there is no such field.
    """
    base = with_fields(TrainingSettings, EvaluationSettings, task.settings, task.training_settings)
    objectives = task.objectives(checked(base, {name: value for name, value in given.items() if name in base.model_fields}))
    values = {name: value for name, value in given.items() if name != "behaviour"}
    return checked(with_fields(base, *settings_of_objectives(objectives)), values)


def _extraction_of(dataset: DatasetFiles) -> dict[str, Any] | None:
    """How frames of a dataset are taken, by `extract` or straight from its clips; None if something else did it."""
    if dataset.decode is not None:
        return DecodingSettings.model_validate(dataset.decode).identity()
    if dataset.frames is None or dataset.media != "video":
        return None
    listed = next(Path(dataset.frames).glob("*/digests.json"), None)
    try:
        found = json.loads(listed.read_bytes())["extraction"] if listed is not None else ""
        return ExtractionSettings.model_validate_json(found).model_dump()
    except (ValueError, KeyError, ValidationError):
        return None
