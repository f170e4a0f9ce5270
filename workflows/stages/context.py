"""What a stage is given and what it gives back. A stage reads its section and inputs, and writes its folder; nothing else."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from cosa.data.dataset_files import DatasetFiles
from workflows.cluster.ray_cluster import Cluster
from workflows.planning.plan import Plan, Step
from workflows.records.outcome import StageOutcome
from workflows.records.tracking import RunRecorder
from workflows.terminal.reporter import StageLine


@dataclass
class StageContext:
    """Everything around a running stage."""

    step: Step
    plan: Plan
    folder: Path  # the partial folder, absolute
    cluster: Cluster
    line: StageLine
    run: RunRecorder
    seed: int

    @property
    def section(self) -> Any:
        """The stage's section."""
        return self.step.section

    def result_of(self, stage: str) -> Path:
        """The result folder of another stage, absolute."""
        return self.plan.result_of(stage).absolute()

    def dataset(self, name: str, *, with_frames: bool = True) -> DatasetFiles:
        """A dataset's files with all stages that make parts of it looked up."""
        section = self.plan.experiment.section.datasets[name]
        base = self.result_of(section.made_by) if section.made_by is not None else Path.cwd()
        frames: str | None = None
        unreadable: frozenset[str] = frozenset()
        if section.media == "video" and with_frames:
            if section.frames is not None:
                frames = str(base / Path(section.frames).expanduser())
            else:
                stage = self.plan.experiment.extract_stage(name)
                assert stage is not None
                extracted = self.result_of(stage)
                frames, unreadable = str(extracted / "frames"), _unreadable(extracted)
        splits = {
            split: {
                kind: str(base / Path(path).expanduser()) if (path := getattr(files, kind)) is not None else None
                for kind in ("captions", "questions", "references")
            }
            for split, files in section.splits.items()
        }
        root = str(base / Path(section.root).expanduser())
        return DatasetFiles(name, section.media, root, frames, splits, unreadable)


def _unreadable(extracted: Path) -> frozenset[str]:
    path = extracted / "unreadable.txt"
    return frozenset(path.read_text(encoding="utf-8").splitlines()) if path.is_file() else frozenset()


class StageFunction(Protocol):
    """A kind of stage."""

    def __call__(self, context: StageContext) -> StageOutcome:
        """Do the work in `context.folder`."""
        ...
