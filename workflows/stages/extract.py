"""Declares the extract stage, which decodes clips into frames on disk."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field, NonNegativeInt, PositiveInt

from cosa.data.annotation_use import AnnotationKind, AnnotationUse
from cosa.data.extraction_settings import EXTRACTION_VERSION, ExtractionSettings
from cosa.data.media_limits import MAX_FRAMES, MAX_SECONDS
from cosa.message_text import some_of
from cosa.section import added_later, no_effect
from workflows.results.layout import UNREADABLE_FILE
from workflows.spec.read import Read
from workflows.spec.reads import AnnotationsRead, MediaRead
from workflows.spec.sections import DatasetSection, StageSection
from workflows.spec.stage_kind import StageKind

if TYPE_CHECKING:
    from workflows.execution.context import StageContext
    from workflows.records.outcome import StageOutcome
    from workflows.spec.experiment import Experiment

NAMING: tuple[AnnotationKind, ...] = ("captions", "questions")  # The clips that these annotations name are extracted.


class ExtractSection(ExtractionSettings, StageSection):
    """Decode a dataset's clips to frames/<video_id>/frame_%04d.jpg. Each clip is decoded once for all experiments."""

    kind: Literal["extract"]
    dataset: str = Field(description="a dataset with media: video")
    output: Literal["files", "tar", "shards"] = no_effect(
        default="files",
        description="a file for each frame, or one for each clip, frames.tar, or tar shards of many clips: the same frames in "
        "fewer files; clips that have frames keep them as they are",
    )
    max_unreadable: NonNegativeInt = Field(
        0, description="how many clips may be unreadable; these are named, and left out of the dataset"
    )
    max_seconds: float = added_later(
        MAX_SECONDS, gt=0, le=86400, description="longest clip, seconds; a longer one counts as unreadable"
    )
    max_frames: PositiveInt = added_later(
        MAX_FRAMES, description="most frames that are taken of a clip; one with more counts as unreadable"
    )
    seconds_per_clip: float = no_effect(
        600.0, gt=0, description="the stage fails, and names the clip, if one takes longer: its decoder may never return"
    )


class Extract(StageKind[ExtractSection]):
    """Extracts the frames of a dataset's clips."""

    name = "extract"
    section = ExtractSection
    version = EXTRACTION_VERSION
    produces = "frames"
    is_seeded = False
    headline = ("frames",)

    def uses_extensions(self, section: ExtractSection) -> bool:
        """Return False, because extensions cannot change how clips are decoded."""
        del section
        return False

    def unused(self, section: ExtractSection) -> Collection[str]:
        """Return fps where a number of frames takes its place."""
        return () if section.frames_per_clip is None else ("fps",)

    def frames_of(self, section: ExtractSection) -> str:
        """Return its dataset."""
        return section.dataset

    def extraction(self, section: ExtractSection) -> Mapping[str, Any]:
        """Return how frames are sampled and stored."""
        return {"version": self.version, **section.identity()}

    def bounds(self, section: ExtractSection) -> Mapping[str, float]:
        """Return bounds other than the usual ones. Lower ones leave nothing out where all clips have to pass."""
        usual = {"max_seconds": MAX_SECONDS, "max_frames": MAX_FRAMES}
        given = {name: getattr(section, name) for name in usual}
        if section.max_unreadable == 0:
            given = {name: max(value, usual[name]) for name, value in given.items()}
        return {name: value for name, value in given.items() if value != usual[name]}

    def reads(self, section: ExtractSection, datasets: Mapping[str, DatasetSection]) -> Iterable[Read]:
        """Yield the clips, and the ids of clips in all annotation files."""
        splits = datasets[section.dataset].splits if section.dataset in datasets else {}
        uses = tuple(
            AnnotationUse(split, kind, only_ids=True)
            for split, files in splits.items()
            for kind in NAMING
            if getattr(files, kind) is not None
        )
        yield MediaRead(("dataset",), section.dataset, of="clips", named_by=uses, may_lack=section.max_unreadable)
        for use in uses:
            yield AnnotationsRead(("dataset",), section.dataset, use)

    def how_it_resumes(self, section: ExtractSection, unfinished: Path) -> str:
        """Say which clips could not be read, and that nothing is done twice."""
        del section
        left = "resumes with the clips that are left"
        try:
            unreadable = (unfinished / UNREADABLE_FILE).read_text(encoding="utf-8").splitlines()
        except FileNotFoundError:  # It did not come to its end.
            return left
        return f"{len(unreadable)} of its clips could not be read ({some_of(unreadable)}); it {left}" if unreadable else left

    def notes(self, name: str, section: ExtractSection, experiment: Experiment) -> Iterator[str]:
        """Warn of frames that nothing reads."""
        dataset = experiment.section.datasets.get(section.dataset)
        fields = {} if dataset is None else {"frames": dataset.frames, "decode": dataset.decode}
        for field in [field for field, value in fields.items() if value is not None]:
            yield (
                f"nothing reads the frames of stage {name}: datasets.{section.dataset}.{field} is set; leave out one of "
                f"them (--set stages.{name}= removes the stage)"
            )

    def run(self, context: StageContext[ExtractSection]) -> StageOutcome:
        """Extract on Ray workers, one clip a task at a time."""
        from workflows.execution.frame_extraction import extract

        return extract(context, NAMING)
