"""Defines what a running stage is given. A stage reads only its section and inputs, and writes only its folder."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, TypeVar

from cosa.data.annotation_use import KINDS
from cosa.data.dataset_files import DatasetFiles, DatasetShards
from cosa.data.shards.paths import shard_paths
from cosa.errors import UserError
from workflows.cluster.ray_cluster import Cluster
from workflows.planning.plan import Plan, Step
from workflows.records.tracking import RunRecorder
from workflows.results.layout import CACHE_FOLDER, CLIPS_LIST, COLUMNS_FOLDER, SHARDS_FOLDER, UNREADABLE_FILE, clips_list
from workflows.results.manifest import DamagedResultError, read_manifest
from workflows.spec.sections import StageSection
from workflows.spec.stage_kinds import kind_of
from workflows.terminal.reporter import StageLine

S = TypeVar("S", bound=StageSection)


class DamagedInputError(DamagedResultError):
    """A result that a stage reads is not what was made. stage: that has made it. what: is wrong."""

    def __init__(self, stage: str, what: str):
        super().__init__(f"{what}; make it again with --force {stage}")
        self.stage = stage


@dataclass
class StageContext(Generic[S]):
    """Everything that a running stage needs.

    section: with inherited fields filled in. folder: where it works, absolute. seed: 0 for kinds that are not seeded. It gives
    only what the kind's `reads` lists: anything else could change without the stage running again.
    """

    step: Step
    section: S
    plan: Plan
    folder: Path
    cluster: Cluster
    line: StageLine
    run: RunRecorder
    seed: int
    _verified: set[str] = field(default_factory=set)  # stages whose results have been read through

    @property
    def kind(self) -> Any:
        """Return the stage's kind."""
        return kind_of(self.section)

    def result_of(self, stage: str) -> Path:
        """Return the absolute path of another stage's result.

        Raises:
            UserError: the kind's `reads` does not list it, or it is not what that stage made.
        """
        if stage not in self.plan.experiment.inputs[self.step.name]:
            raise UserError(self._not_listed(f"the result of {stage}"))
        folder = self.plan.result_of(stage)
        if stage not in self._verified:
            damaged = self.plan.storage.damage_of(folder.parent.name, folder, read_all=True)
            if damaged is None and read_manifest(folder) is None:
                damaged = "it is gone"
            if damaged is not None:
                raise DamagedInputError(stage, f"{folder} is not what {stage} made: {damaged}")
            self._verified.add(stage)
        return folder.absolute()

    def verify_inputs(self) -> None:
        """Read the results of all stages through that this one uses, before any of its work is done.

        Raises:
            UserError: one is not what its stage made.
        """
        for stage in self.plan.experiment.inputs[self.step.name]:
            self.line.update(f"reading the result of {stage} through")
            self.result_of(stage)

    def datasets(self) -> dict[str, DatasetFiles]:
        """Return all datasets that the stage reads, by name."""
        return {name: self.dataset(name) for name in self.plan.datasets_of(self.step.name)}

    def dataset(self, name: str, *, with_frames: bool = True) -> DatasetFiles:
        """Return a dataset's files, also those that other stages make. with_frames: whether it includes extracted frames.

        Raises:
            UserError: the kind's `reads` does not list the dataset, or not its pictures although `with_frames`.
        """
        if name not in self.plan.datasets_of(self.step.name):
            raise UserError(self._not_listed(f"dataset {name}"))
        section = self.plan.experiment.section.datasets[name]
        base = self._base(name)
        frames: str | None = None
        stored: str | None = None
        decode: dict[str, Any] | None = None
        unreadable: frozenset[str] = frozenset()
        shards = self._shards(name) if section.has_shards else None
        if section.decode is not None and with_frames:
            decode = section.decode.model_dump()
            if section.decode.cache is not None:  # Workers have other working directories.
                decode["cache"] = str(Path.cwd() / Path(section.decode.cache).expanduser())
        elif section.media == "video" and with_frames and shards is None:
            if section.frames is not None:
                frames = str(base / Path(section.frames).expanduser())
            else:
                extracted = self.result_of(self.plan.experiment.frames_stage(name))
                stored, unreadable = str(clips_list(extracted) or extracted / CLIPS_LIST), _unreadable(extracted)
        splits = {
            split: {
                str(kind): str(base / Path(path).expanduser()) if (path := getattr(files, kind)) is not None else None
                for kind in KINDS
            }
            for split, files in section.splits.items()
        }
        root = str(base / Path(section.root).expanduser()) if section.root is not None else ""
        linked = tuple(str(base / Path(folder).expanduser()) for folder in section.linked_folders)
        reading = {split: files.reading_of("captions") for split, files in section.splits.items()}
        columns = str((self.plan.storage.root / CACHE_FOLDER / COLUMNS_FOLDER).absolute())
        return DatasetFiles(
            name, section.media, root, frames, splits, unreadable, linked, section.max_pixels, stored, reading, columns, decode,
            shards,
        )  # fmt: skip

    def _base(self, dataset: str) -> Path:
        """Return the folder from which relative paths of a dataset start."""
        made_by = self.plan.experiment.section.datasets[dataset].made_by
        return self.result_of(made_by) if made_by is not None else Path.cwd()

    def _shards(self, dataset: str) -> DatasetShards:
        """Return where the shards of a dataset are, and their index."""
        index = self.result_of(self.plan.experiment.index_stage(dataset)) / SHARDS_FOLDER
        return DatasetShards(str(index), self.shards_of(dataset), *self.shard_copies)

    def shards_of(self, dataset: str) -> dict[str, list[str]]:
        """Return the absolute paths of a dataset's shards, or their addresses, by split."""
        splits, base = self.plan.experiment.section.datasets[dataset].splits, str(self._base(dataset))
        return {split: shard_paths(files.shards, base) for split, files in splits.items()}

    @property
    def shard_copies(self) -> tuple[str, int]:
        """Where copies of shards in buckets go, and how many bytes they may take."""
        section = self.plan.experiment.section.cluster
        return str(Path(section.shard_copies).expanduser().absolute()), section.shard_copies_gigabytes * 10**9

    def _not_listed(self, what: str) -> str:
        return (
            f"stage {self.step.name} uses {what}, which `reads` of the kind {self.section.kind!r} does not list; list it, so "
            "that the stage runs again when it changes"
        )


def _unreadable(extracted: Path) -> frozenset[str]:
    path = extracted / UNREADABLE_FILE
    return frozenset(path.read_text(encoding="utf-8").splitlines()) if path.is_file() else frozenset()
