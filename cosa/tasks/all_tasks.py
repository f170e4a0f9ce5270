"""All tasks in one table, and what they give together. To add one: a file beside this, and a line here."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from cosa.evaluation.metric import Metric
from cosa.tasks.captioning import Captioning, CaptioningSettings
from cosa.tasks.question_answering import QuestionAnswering, QuestionAnsweringSettings
from cosa.tasks.retrieval import Retrieval, RetrievalSettings
from cosa.tasks.task import Task

TASKS: dict[str, Task[Any]] = {task.name: task for task in (Retrieval(), Captioning(), QuestionAnswering())}


def all_metrics() -> Iterator[Metric]:
    """The metrics of all tasks, task after task."""
    for task in TASKS.values():
        yield from task.metrics


def label_of(name: str) -> str:
    """What people call a metric; its name, if it has no other."""
    return next((metric.label for metric in all_metrics() if metric.name == name and metric.label is not None), name)


class EvaluationSettings(RetrievalSettings, CaptioningSettings, QuestionAnsweringSettings):
    """How the tasks are evaluated (paper, section 4; published defaults)."""
