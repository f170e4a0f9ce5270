"""What a task is: everything that training, evaluation, specs and reports ask of it. To add one: a file beside this, and a line
in `all_tasks.py`. No torch at import: specs are checked with tasks."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Generic, NamedTuple, TypeVar

from pydantic import PositiveInt

from cosa.data.annotation_use import AnnotationKind, AnnotationUse
from cosa.data.clip_settings import ClipSettings
from cosa.evaluation.metric import Metric
from cosa.section import Section, no_effect
from cosa.tasks.shown import Shown

if TYPE_CHECKING:
    import torch

    from cosa.behaviour import Behaviour
    from cosa.data.batches import ClipSource
    from cosa.data.dataset_files import DatasetFiles
    from cosa.data.sample import Sample
    from cosa.evaluation.evaluation_result import EvaluationResult
    from cosa.evaluation.sample_scores import SampleScores
    from cosa.model import COSA


class TaskSettings(ClipSettings):
    """What all tasks are evaluated with."""

    eval_batch_size: PositiveInt = no_effect(64, description="clips encoded at once in evaluation")


SettingsT = TypeVar("SettingsT", bound=TaskSettings)


class TextLength(NamedTuple):
    """The longest text of a kind that a task makes. field: the setting that limits it. positions: that it takes in the text
    encoder. what: in words."""

    field: str
    positions: int
    what: str


@dataclass(frozen=True)
class Baseline:
    """What is reached by knowing nothing of the clips.

    name: what it is. details: what it said, for the manifest. left_out: metrics that have none, and why.
    """

    metrics: Mapping[str, float]
    name: str
    details: Mapping[str, str] = field(default_factory=dict)
    left_out: Mapping[str, str] = field(default_factory=dict)


class Task(ABC, Generic[SettingsT]):
    """A task on one dataset (paper, section 4).

    name: in specs. annotations: the kind of annotation file that holds its texts. metrics: all that evaluation can give.
    main_metric: the one that selects checkpoints and trials. settings: fields of its own that finetuning and evaluation have;
    training_settings and evaluation_settings: those that only one of them has. switches: of all these, what is a mistake in a
    stage without this task. example_call, example_command, pipeline: for model cards, how its models are used in Python and in
    a shell, and what a hub calls such models. served_as: what a server answers with its models by default.
    """

    name: ClassVar[str]
    annotations: ClassVar[AnnotationKind]
    metrics: ClassVar[tuple[Metric, ...]]
    main_metric: ClassVar[str]
    settings: type[SettingsT]
    training_settings: ClassVar[type[Section]] = Section
    evaluation_settings: ClassVar[type[Section]] = Section
    switches: ClassVar[tuple[str, ...]] = ()
    example_call: ClassVar[str] = ""
    example_command: ClassVar[str] = ""
    pipeline: ClassVar[str | None] = None
    served_as: ClassVar[str] = "embed"

    # -- training ------------------------------------------------------------------------------------------------------

    @abstractmethod
    def objectives(self, settings: SettingsT) -> tuple[str, ...]:
        """Names of the objectives that finetuning sums up."""

    @abstractmethod
    def samples(self, dataset: DatasetFiles, split: str) -> Sequence[Sample]:
        """Training samples of a split.

        Raises:
            DataError: its annotation file cannot be used.
        """

    @abstractmethod
    def validation_metrics(self, settings: SettingsT) -> tuple[str, ...]:
        """Names of the metrics that validation computes: a checkpoint is selected often, so slow ones are left out."""

    def trained_annotations(self, split: str, batch_size: int) -> AnnotationUse:
        """The annotation file that training on a split reads."""
        return AnnotationUse(split, self.annotations, fewest_samples=batch_size)

    # -- evaluation ----------------------------------------------------------------------------------------------------

    @abstractmethod
    def evaluated_annotations(self, settings: SettingsT, split: str) -> tuple[AnnotationUse, ...]:
        """The annotation files that evaluating a split reads."""

    @abstractmethod
    def baseline_annotations(self, settings: SettingsT, split: str) -> tuple[AnnotationUse, ...]:
        """The annotation files that the baseline reads of the split that it is taken from."""

    @abstractmethod
    def text_lengths(self, settings: SettingsT) -> Iterator[TextLength]:
        """The longest texts that the text encoder has to read."""

    @abstractmethod
    def references(self, dataset: DatasetFiles, split: str, settings: SettingsT) -> Mapping[str, Any] | Sequence[Any]:
        """What answers are compared with, as `evaluate` takes it.

        Raises:
            DataError: an annotation file cannot be used.
        """

    @abstractmethod
    def media_ids(self, references: Any) -> list[str]:
        """Ids of the clips or images that evaluation looks at."""

    def texts(self, references: Any) -> str:
        """How many texts evaluation compares with the clips, in words; empty if it counts none."""
        del references
        return ""

    @abstractmethod
    def evaluate(
        self,
        model: COSA,
        references: Any,
        clips: ClipSource,
        settings: SettingsT,
        *,
        device: torch.device,
        behaviour: Behaviour,
        metrics: Sequence[str] | None = None,
    ) -> EvaluationResult:
        """Metrics and predictions, the same on all workers. metrics: only these have to be computed; all when left out."""

    @abstractmethod
    def baseline(self, dataset: DatasetFiles, split: str, baseline_split: str, settings: SettingsT) -> Baseline | None:
        """What is reached without looking at the clips, as `baseline_split` shows it; None if nothing is."""

    @abstractmethod
    def summary(self, metrics: Mapping[str, float]) -> str:
        """The result in one line for people."""

    def example(self, prediction: Mapping[str, Any]) -> str:
        """A prediction in a line, as a person wants to read it; empty if a text does not show it."""
        del prediction
        return ""

    def sample_scores(self, result: EvaluationResult) -> SampleScores | None:
        """What each sample scored, in the order of the predictions; None, unless the task says more.

        A table beside the predictions, intervals and the gallery follow from it.
        """
        del result
        return None

    def shown(self, prediction: Mapping[str, Any]) -> Shown:
        """A prediction as the gallery shows it: all its fields, unless the task says more."""
        fields = (f"{name}: {value}" for name, value in prediction.items() if name != "video_id")
        return Shown(str(prediction.get("video_id", "")), said="\n".join(fields))

    def judged_by(self, scores: SampleScores) -> Metric | None:
        """The score by which the gallery finds the best and the worst samples: of the main metric, or the first there is."""
        name = self.main_metric if self.main_metric in scores.values else next(iter(scores.values), None)
        return next((metric for metric in self.metrics if metric.name == name), None)

    def shows_parts(self, settings: SettingsT) -> bool:
        """Whether figures of parts of the split are printed below the results; they are in the manifest in any case."""
        del settings
        return False

    def pictures(self, dataset: DatasetFiles, predictions: Sequence[Mapping[str, Any]], folder: Path, title: str) -> list[Path]:
        """Draw what a person wants to see of predictions, into files of a folder; nothing unless the task has pictures."""
        del dataset, predictions, folder, title
        return []

    def submission(self, predictions: Sequence[Mapping[str, Any]], folder: Path, settings: SettingsT) -> list[Path]:
        """Write what a benchmark's server wants, if that is asked for; nothing unless the task has a server."""
        del predictions, folder, settings
        return []

    # -- for specs -----------------------------------------------------------------------------------------------------

    def metric(self, name: str) -> Metric:
        """A metric by its name."""
        return next(metric for metric in self.metrics if metric.name == name)

    def why_left_out(self, metric: str, settings: SettingsT) -> str | None:
        """How to have a metric of the task in validation that its settings leave out, if there is a way."""
        del metric, settings
        return None
