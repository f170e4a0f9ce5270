"""Declares the index stage, which reads tar shards once, so that training can read any sample of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field, NonNegativeInt, field_validator

from cosa.section import added_later, no_effect
from workflows.spec.read import Read
from workflows.spec.sections import DatasetSection, StageSection
from workflows.spec.shard_reads import ShardsRead
from workflows.spec.smoke import entries_of
from workflows.spec.stage_kind import Report, StageKind

if TYPE_CHECKING:
    from workflows.execution.context import StageContext
    from workflows.records.outcome import StageOutcome

Share = Annotated[float, Field(gt=0, lt=1)]


class IndexSection(StageSection):
    """Find the samples of a dataset's tar shards, and decode each picture or clip to see whether that is possible."""

    kind: Literal["index"]
    dataset: str = Field(description="a dataset whose splits are shards")
    caption: str = Field("txt", description="where captions are: txt, the member KEY.txt, or json.FIELD, a field of KEY.json")
    max_broken: NonNegativeInt | Share = no_effect(
        default=0,
        description="how many samples may be unusable, or which share of all (0.01); these are named and left out",
    )
    seconds_per_clip: float = added_later(
        600.0, gt=0, le=86400, description="a clip whose decoding takes longer is unusable: its decoder may never return"
    )

    @field_validator("caption")
    @classmethod
    def _known_place(cls, caption: str) -> str:
        if caption != "txt" and not (caption.startswith("json.") and caption.removeprefix("json.")):
            raise ValueError(f"{caption!r} is no place of captions; expected txt or json.FIELD, such as json.caption")
        return caption


class Index(StageKind[IndexSection]):
    """Indexes the shards of a dataset."""

    name = "index"
    section = IndexSection
    version = 1
    produces = "index"
    is_seeded = False
    headline = ("samples",)

    def uses_extensions(self, section: IndexSection) -> bool:
        """Return False, because extensions cannot change what is in shards."""
        del section
        return False

    def index_of(self, section: IndexSection) -> str:
        """Return its dataset."""
        return section.dataset

    def indexing(self, section: IndexSection) -> Mapping[str, Any]:
        """Return where captions are, and how long decoding a clip may take."""
        return {"version": self.version, **section.model_dump(include={"caption", "seconds_per_clip"})}

    def reads(self, section: IndexSection, datasets: Mapping[str, DatasetSection]) -> Iterable[Read]:
        """Yield the shards of every split."""
        splits = datasets[section.dataset].splits if section.dataset in datasets else {"": None}
        for split in splits:
            yield ShardsRead(("dataset",), section.dataset, split)

    def check(self, name: str, section: IndexSection, datasets: Mapping[str, DatasetSection], report: Report) -> None:
        """Report a dataset without shards."""
        if section.dataset in datasets and not datasets[section.dataset].has_shards:
            message = f"dataset {section.dataset!r} has no shards to index; its splits name none"
            report(message, "stages", name, "dataset")

    def smoke_fields(self, data: Mapping[str, Any], spec: Mapping[str, Any], folder: Path) -> dict[str, Any]:
        """Return where captions are in generated shards, which take the place of those that no stage makes."""
        del folder
        dataset = entries_of(spec, "datasets").get(str(data.get("dataset")), {})
        return {} if "made_by" in dataset else {"caption": "txt"}

    def how_it_resumes(self, section: IndexSection, unfinished: Path) -> str:
        """Say that no shard is read twice."""
        del section, unfinished
        return "resumes with the shards that are left"

    def run(self, context: StageContext[IndexSection]) -> StageOutcome:
        """Index on Ray workers, a shard a task."""
        from workflows.execution.shard_indexing import index

        return index(context)
