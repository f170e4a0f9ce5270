"""What a stage is given and what it gives back. A stage reads its section and inputs, and writes its folder; nothing else."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from cosa.errors import UserError
from workflows.cluster import Cluster
from workflows.console import StageLine
from workflows.plan import Plan, Step
from workflows.tracking import RunRecorder

RUN_NOTE = "run.json"  # in a folder of unfinished work: its MLflow run, to be continued


def params_of(step: Step, seed: int, *exclude: str) -> dict[str, Any]:
    """What MLflow shows as parameters of a stage's run: its section but for some fields, seed, and model if it makes one."""
    section = step.section.model_dump(mode="json", exclude={"kind", "description", *exclude})
    return {**section, "seed": seed, **({"model": step.model} if step.model is not None else {})}


@dataclass(frozen=True)
class DatasetFiles:
    """A dataset with absolute paths, plain enough to be sent to workers.

    frames: folder of extracted frames (video). root: folder of clips or images. splits: annotation files by split and kind.
    unreadable: ids of clips that extraction could not read; they are left out.
    """

    name: str
    media: str
    root: str
    frames: str | None
    splits: dict[str, dict[str, str | None]]
    unreadable: frozenset[str] = frozenset()

    def file(self, split: str, kind: str) -> Path:
        """An annotation file."""
        path = self.splits[split][kind]
        if path is None:
            raise UserError(f"datasets.{self.name}.splits.{split} has no {kind}: file")
        return Path(path)


@dataclass(frozen=True)
class OtherCheckpoints:
    """Checkpoints besides the one that a stage keeps: a folder of folders. run: of the trial that made them, if one did."""

    folder: Path
    run: RunRecorder | None = None


@dataclass
class StageOutcome:
    """What a stage reports: final metrics, what they are compared with, files in its folder, one line for people.

    baselines: by metric. baseline_names: what each baseline is. artifacts: files or folders for MLflow. other_checkpoints:
    what `tracking.checkpoints` asks for besides `checkpoint`.
    """

    summary: str
    metrics: dict[str, float] = field(default_factory=dict)
    baselines: dict[str, float] = field(default_factory=dict)
    baseline_names: dict[str, str] = field(default_factory=dict)
    outputs: dict[str, str] = field(default_factory=dict)
    artifacts: list[Path] = field(default_factory=list)
    checkpoint: Path | None = None
    other_checkpoints: list[OtherCheckpoints] = field(default_factory=list)
    details: dict[str, Any] = field(default_factory=dict)


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
