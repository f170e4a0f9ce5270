"""Defines a kind of stage: everything that specs, plans, records and the runner ask of it. A new kind is a file in
`workflows/stages/` and a line in `stage_kinds.py`. Such a file imports no torch, ray or mlflow, because specs are checked with
kinds."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Generic, Literal, NamedTuple, Protocol, TypeVar

from cosa.evaluation.metric import Metric
from cosa.section import Section
from cosa.tasks.task import TextLength
from workflows.spec.experiment import Experiment
from workflows.spec.place import FieldPath
from workflows.spec.read import Read
from workflows.spec.sections import DatasetSection, ExperimentSection, StageSection

S = TypeVar("S", bound=StageSection)
Product = Literal["dataset", "frames", "index", "checkpoint"]  # what other stages can use of a result


class Report(Protocol):
    """Is called for every error in a spec."""

    def __call__(self, message: str, *path: str | int) -> None:
        """Report an error and the path of the field that it is about."""
        ...


class GlobalBatch(NamedTuple):
    """A batch over all workers. field: its path below the stage. objectives: those that use it. parts: into how many parts a
    worker splits its share of the batch, to process them one after the other."""

    field: FieldPath
    samples: int
    objectives: tuple[str, ...]
    parts: int


@dataclass(frozen=True)
class Lineage:
    """Where the model of a stage comes from, and what it was trained on.

    starts_from: stage or path; None for a new model, built from the model section. trained_on: (dataset, split) pairs.
    selected_on: the pair by which the checkpoint was selected. task: the task that it was finetuned for.
    """

    starts_from: str | None
    trained_on: tuple[tuple[str, str], ...] = ()
    selected_on: tuple[str, str] | None = None
    task: str | None = None


class StageKind(ABC, Generic[S]):
    """A kind of stage.

    name: as specs write it. section: its fields. version: raise it when the kind would compute something else from the same
    section and inputs. produces: what other stages can use of its result. is_seeded: whether the experiment's seed affects the
    result. headline: metrics of its own, besides those of tasks, that say most about a result. parts: sections inside its own,
    by name, which `cosa schema` shows, too.
    """

    name: ClassVar[str]
    section: type[S]
    version: ClassVar[int]
    produces: ClassVar[Product | None] = None
    is_seeded: ClassVar[bool] = True
    headline: ClassVar[tuple[str, ...]] = ()
    parts: ClassVar[Mapping[str, type[Section]]] = {}

    def __init__(self) -> None:
        """Refuse a kind that does not define all it must."""
        lacking = [name for name in ("name", "section", "version") if not hasattr(self, name)]
        if lacking:
            raise TypeError(f"{type(self).__name__} does not define its {', '.join(lacking)}")

    @abstractmethod
    def reads(self, section: S, datasets: Mapping[str, DatasetSection]) -> Iterable[Read]:
        """List everything that a stage reads. Its inputs and its fingerprint follow from this: if something that is left out
        here changes, the stage does not run again."""

    @abstractmethod
    def run(self, context: Any) -> Any:
        """Do the work in `context.folder`, and read nothing but what `reads` lists.

        Args:
            context: `workflows.execution.context.StageContext`.

        Returns:
            `workflows.records.outcome.StageOutcome`. (Specs may not import either module, so the types are not given here.)
        """

    # -- its section -----------------------------------------------------------------------------------------------------

    def section_for(self, data: Mapping[str, Any]) -> type[S]:
        """Return the model that validates a stage's fields; it may depend on some of them."""
        del data
        return self.section

    def inherited(self, section: S, experiment: ExperimentSection, stages: Mapping[str, StageSection]) -> S:
        """Return the section with the fields filled in that it inherits from the experiment and from other stages."""
        del experiment, stages
        return section

    def seed_of(self, section: S, seed: int) -> int:
        """Return the seed of a stage. seed: of the experiment."""
        del section
        return seed if self.is_seeded else 0

    def uses_extensions(self, section: S) -> bool:
        """Return whether extensions may change its result. If so, the stage runs again when one of them was edited."""
        del section
        return True

    def unused(self, section: S) -> Collection[str]:
        """Return fields that nothing reads, because they belong to something that the section does not ask for. They change no
        result, so they stay out of its fingerprint."""
        del section
        return ()

    def version_of(self, section: S) -> int:
        """Return the version of the computation that the section asks for."""
        del section
        return self.version

    def smoke_fields(self, data: Mapping[str, Any], spec: Mapping[str, Any], folder: Path) -> dict[str, Any]:
        """Return fields that make a stage a matter of seconds, by name, for smoke tests (`profiles.py`).

        Args:
            data: its fields, as plain values that are not yet checked.
            spec: all of the spec.
            folder: where a stand-in for files of the user's own may be written.
        """
        del data, spec, folder
        return {}

    # -- checks, before anything runs --------------------------------------------------------------------------------------

    def check(self, name: str, section: S, datasets: Mapping[str, DatasetSection], report: Report) -> None:
        """Report fields of one stage that cannot be combined."""

    def check_with_others(self, name: str, section: S, experiment: Experiment, report: Report) -> None:
        """Report what cannot be combined with other stages. All inherited fields are filled in by now."""

    def notes(self, name: str, section: S, experiment: Experiment) -> Iterator[str]:
        """Yield warnings about what is allowed but worth knowing."""
        del name, section, experiment
        yield from ()

    def text_lengths(self, section: S) -> Iterator[TextLength]:
        """Yield the longest texts that the text encoder has to read."""
        del section
        yield from ()

    def batches(self, section: S) -> Iterator[GlobalBatch]:
        """Yield the batches that are split over workers."""
        del section
        yield from ()

    def with_batches_of_trials(self, section: S) -> Iterable[S]:
        """Yield the section once for each combination of batch fields that trials of its sweep are known to have."""
        yield section

    def workers(self, section: S) -> int | None:
        """Return its own number of workers; None where the cluster section decides."""
        del section
        return None

    def swept(self, section: S) -> Collection[str]:
        """Return the fields in which the trials of its sweep differ."""
        del section
        return ()

    # -- what it makes -----------------------------------------------------------------------------------------------------

    def frames_of(self, section: S) -> str | None:
        """Return the dataset whose frames it extracts; None if it extracts none."""
        del section
        return None

    def index_of(self, section: S) -> str | None:
        """Return the dataset whose shards it indexes; None if it indexes none."""
        del section
        return None

    def extraction(self, section: S) -> Mapping[str, Any]:
        """Return everything that decides which frames it extracts of a clip; nothing if it extracts none."""
        del section
        return {}

    def indexing(self, section: S) -> Mapping[str, Any]:
        """Return everything that decides, besides the dataset, which samples it finds in shards; nothing if it finds none."""
        del section
        return {}

    def bounds(self, section: S) -> Mapping[str, float]:
        """Return what decides which clips it leaves out because they are too large. It changes no frame of the others."""
        del section
        return {}

    def how_it_resumes(self, section: S, unfinished: Path) -> str:
        """Say what becomes of the work that an interrupted stage has left in a folder."""
        del section, unfinished
        return "starts over"

    def reuses(self, step: Any, basis: Any, storage: Any) -> str:
        """Say which parts of a stage that will run are there already; nothing if none are.

        Args:
            step: `workflows.planning.step.Step`.
            basis: `workflows.planning.fingerprint.Basis`.
            storage: `workflows.results.storage.Storage`.
        """
        del step, basis, storage
        return ""

    def lineage(self, section: S) -> Lineage | None:
        """Return the lineage of the model that it trains or uses; None if there is none."""
        del section
        return None

    def builds_model(self, section: S) -> bool:
        """Return whether it builds a model from the experiment's model section."""
        lineage = self.lineage(section)
        return self.produces == "checkpoint" and lineage is not None and lineage.starts_from is None

    def selection_metric(self, section: S) -> Metric | None:
        """Return the metric that selects a checkpoint or a trial; None if none does."""
        del section
        return None

    def measured_on(self, section: S) -> tuple[str, str] | None:
        """Return the dataset and the split that its metrics are about; None if they are about none."""
        lineage = self.lineage(section)
        return lineage.selected_on if lineage is not None else None

    def samples_seen(self, section: S, steps: int) -> int | None:
        """Return how many samples a training has seen after so many steps; None if it trains nothing, or nobody counts."""
        del section, steps
        return None

    def registers_as(self, section: S) -> str | None:
        """Return the name of the registered model of which its checkpoint becomes a version."""
        del section
        return None

    def shows_parts(self, section: S) -> bool:
        """Return whether figures of parts of a split are printed below the results."""
        del section
        return False

    def published(self, section: S) -> Mapping[str, float] | None:
        """Return published metrics to show beside its own at the end of a run; None if it shows no metrics there."""
        del section
        return None
