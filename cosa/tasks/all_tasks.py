"""All tasks in one table, and what they give together. To add one: a file beside this, and a line here."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from typing import Any

from cosa.evaluation.metric import Metric
from cosa.section import Section, fields_of, redefined_field
from cosa.table import Table
from cosa.tasks.captioning import Captioning, CaptioningEvaluation, CaptioningSettings, CaptioningTraining
from cosa.tasks.question_answering import QuestionAnswering, QuestionAnsweringEvaluation, QuestionAnsweringSettings
from cosa.tasks.retrieval import Retrieval, RetrievalSettings
from cosa.tasks.task import Task


def _problem(name: str, task: object) -> str | None:
    """What is wrong with a task that is to be added under a name, if anything."""
    if not isinstance(task, Task):
        return f"expected an object of a Task, not {task!r}"
    if task.name != name:
        return f"its `name` is {task.name!r}; both have to be the same"
    metrics = [metric.name for metric in task.metrics]
    if task.main_metric not in metrics:
        return f"its `main_metric` is {task.main_metric!r}; expected one of its metrics: {', '.join(metrics)}"
    for other in TASKS.values():
        if (field := redefined_field(task.settings, other.settings)) is not None:
            return f"its setting {field!r} has another default or type than that of task {other.name}; give it another name"
    return None


TASKS: Table[Task[Any]] = Table(
    "task", {task.name: task for task in (Retrieval(), Captioning(), QuestionAnswering())}, _problem
)


def all_metrics() -> Iterator[Metric]:
    """The metrics of all tasks, task after task."""
    for task in TASKS.values():
        yield from task.metrics


def label_of(name: str) -> str:
    """What people call a metric; its name, if it has no other. A task before it, as in `retrieval/text_to_video_r1`, stays."""
    task, slash, own = name.rpartition("/")
    label = next((metric.label for metric in all_metrics() if metric.name == own and metric.label is not None), own)
    return f"{task}{slash}{label}"


def misplaced(settings: Section, chosen: Collection[Task[Any]], tasks: str) -> Iterator[tuple[str, str]]:
    """(field, message) of switches that are on though none of the chosen tasks of a stage has them; tasks: those, in words."""
    own = {switch for task in chosen for switch in task.switches}
    for task in TASKS.values():
        for switch in task.switches:
            if switch not in own and getattr(settings, switch, False):
                own.add(switch)
                yield switch, f"it belongs to {task.name}; {tasks}"


class EvaluationSettings(RetrievalSettings, CaptioningSettings, QuestionAnsweringSettings):
    """How the tasks are evaluated (paper, section 4; published defaults)."""


def evaluation_fields(tasks: Iterable[Task[Any]]) -> set[str]:
    """Fields that evaluation takes from the training of its checkpoint, where it does not say otherwise itself."""
    return fields_of([EvaluationSettings, *(task.settings for task in tasks)])


class FinetuningSwitches(CaptioningTraining):
    """Fields of tasks that only finetuning has."""


class EvaluationSwitches(QuestionAnsweringEvaluation, CaptioningEvaluation):
    """Fields of tasks that only evaluation has."""
