"""Evaluating tasks on one split, during training or afterwards."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from cosa.behaviour import DEFAULT, Behaviour
from cosa.data.clips import ClipReader
from cosa.data.dataset_files import DatasetFiles
from cosa.evaluation.evaluation_result import EvaluationResult
from cosa.model import COSA
from cosa.tasks.all_tasks import TASKS
from cosa.tasks.task import TaskSettings


class Evaluator:
    """Evaluates tasks on one split; annotations are read once, and frames that were decoded are reused, however often."""

    def __init__(
        self,
        dataset: DatasetFiles,
        split: str,
        settings: TaskSettings,
        *,
        resolution: int,
        device: torch.device,
        behaviour: Behaviour = DEFAULT,
    ):
        """settings: of all tasks that will be evaluated. resolution: side of the model's input image, pixels."""
        self.dataset, self.split, self.settings = dataset, split, settings
        self.device, self.behaviour = device, behaviour
        self.reader = ClipReader.of(dataset, settings, resolution, training=False, behaviour=behaviour)
        self._references: dict[str, Any] = {}

    def run(self, model: COSA, task_name: str, metrics: Sequence[str] | None = None) -> EvaluationResult:
        """Evaluate one task. metrics: only these have to be computed.

        Raises:
            DataError: annotations cannot be used, or clips are missing.
        """
        task = TASKS[task_name]
        if task_name not in self._references:
            self._references[task_name] = task.references(self.dataset, self.split, self.settings)
        references = self._references[task_name]
        self.reader.check(task.media_ids(references))
        return task.evaluate(
            model, references, self.reader, self.settings, device=self.device, behaviour=self.behaviour, metrics=metrics
        )

    def validate(self, model: COSA, task_name: str) -> dict[str, float]:
        """What selects a checkpoint: the task's validation metrics."""
        wanted = TASKS[task_name].validation_metrics(self.settings)
        metrics = self.run(model, task_name, wanted).metrics
        assert TASKS[task_name].main_metric in metrics
        return metrics
