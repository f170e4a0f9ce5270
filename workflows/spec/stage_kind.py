"""What a kind of stage is: everything that specs, plans, records and the runner ask of it. To add one: a file in
`workflows/stages/`, and a line in `stage_kinds.py`. No torch, ray or mlflow at import: specs are checked with kinds."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, Literal, NamedTuple, Protocol, TypeVar

from cosa.section import Section
from cosa.tasks.task import TextLength
from workflows.spec.experiment import Experiment
from workflows.spec.reads import FieldPath, Read
from workflows.spec.sections import DatasetSection, ExperimentSection, StageSection

S = TypeVar("S", bound=StageSection)
Product = Literal["dataset", "frames", "checkpoint"]  # what another stage can take from a result


class Report(Protocol):
    """Takes an error and the path of the field that it is about."""

    def __call__(self, message: str, *path: str | int) -> None:
        """Report an error."""
        ...


class GlobalBatch(NamedTuple):
    """A batch over all workers. field: its path below the stage. objectives: that it is used for. parts: that a worker's share
    of it runs in, one after the other."""

    field: FieldPath
    samples: int
    objectives: tuple[str, ...]
    parts: int


@dataclass(frozen=True)
class Lineage:
    """Where the model of a stage comes from, and what it has seen.

    starts_from: stage or path; None for a new model of the model section. trained_on: (dataset, split) pairs. selected_on: the
    pair by which the checkpoint was chosen. task: that it was finetuned for.
    """

    starts_from: str | None
    trained_on: tuple[tuple[str, str], ...] = ()
    selected_on: tuple[str, str] | None = None
    task: str | None = None


class StageKind(ABC, Generic[S]):
    """A kind of stage.

    name: as specs write it. section: its fields. version: raise it when the kind would compute something else from the same
    section and inputs. produces: what other stages can take from its result. is_seeded: whether the experiment's seed has an
    effect on the result. headline: metrics of its own, besides those of tasks, that say most about a result.
    parts: sections inside its own, by name, for the reference.
    """

    name: ClassVar[str]
    section: type[S]
    version: ClassVar[int]
    produces: ClassVar[Product | None] = None
    is_seeded: ClassVar[bool] = True
    headline: ClassVar[tuple[str, ...]] = ()
    parts: ClassVar[Mapping[str, type[Section]]] = {}

    def __init__(self) -> None:
        """Refuse a kind that leaves out what it has to say."""
        lacking = [name for name in ("name", "section", "version") if not hasattr(self, name)]
        if lacking:
            raise TypeError(f"{type(self).__name__} does not say its {', '.join(lacking)}")

    @abstractmethod
    def reads(self, section: S, datasets: Mapping[str, DatasetSection]) -> Iterable[Read]:
        """Everything that a stage reads. Its inputs and its fingerprint follow from it: what is left out here is not noticed
        when it changes."""

    @abstractmethod
    def run(self, context: Any) -> Any:
        """Do the work in `context.folder`, reading nothing else than `reads` says.

        Args:
            context: `workflows.execution.context.StageContext`.

        Returns:
            `workflows.records.outcome.StageOutcome`. (Both stand above specs, so their types are not imported here.)
        """

    # -- its section -----------------------------------------------------------------------------------------------------

    def section_for(self, data: Mapping[str, Any]) -> type[S]:
        """The model that validates a stage's fields; it may depend on some of them."""
        del data
        return self.section

    def inherited(self, section: S, experiment: ExperimentSection, stages: Mapping[str, StageSection]) -> S:
        """The section with fields that it takes over from others filled in."""
        del experiment, stages
        return section

    def uses_extensions(self, section: S) -> bool:
        """Whether files of the user's own code may change its result. An edited one then makes it run again."""
        del section
        return True

    def version_of(self, section: S) -> int:
        """Version of what the section asks for."""
        del section
        return self.version

    # -- checks, before anything runs --------------------------------------------------------------------------------------

    def check(self, name: str, section: S, datasets: Mapping[str, DatasetSection], report: Report) -> None:
        """Report fields of one stage that do not go together."""

    def check_with_others(self, name: str, section: S, experiment: Experiment, report: Report) -> None:
        """Report what does not go together with other stages. All sections have inherited by now."""

    def notes(self, name: str, section: S, experiment: Experiment) -> Iterator[str]:
        """What is allowed and should be known."""
        del name, section, experiment
        yield from ()

    def text_lengths(self, section: S) -> Iterator[TextLength]:
        """The longest texts that the text encoder has to read."""
        del section
        yield from ()

    def batches(self, section: S) -> Iterator[GlobalBatch]:
        """The batches that are split over workers."""
        del section
        yield from ()

    def workers(self, section: S) -> int | None:
        """A number of workers of its own; None where the cluster section says it."""
        del section
        return None

    def swept(self, section: S) -> Collection[str]:
        """Fields that trials differ in."""
        del section
        return ()

    # -- what it makes -----------------------------------------------------------------------------------------------------

    def frames_of(self, section: S) -> str | None:
        """The dataset whose frames it makes, if it does."""
        del section
        return None

    def lineage(self, section: S) -> Lineage | None:
        """Of the model that it trains or uses; None if there is none."""
        del section
        return None

    def builds_model(self, section: S) -> bool:
        """Whether it makes a model of the experiment's model section."""
        lineage = self.lineage(section)
        return self.produces == "checkpoint" and lineage is not None and lineage.starts_from is None

    def registers_as(self, section: S) -> str | None:
        """Name of the registered model that its checkpoint becomes a version of."""
        del section
        return None

    def published(self, section: S) -> Mapping[str, float] | None:
        """Published metrics to be shown beside its own at the end of a run; None if it shows no metrics there."""
        del section
        return None
