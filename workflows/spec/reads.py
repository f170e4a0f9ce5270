"""Describes what stages read. A kind of stage lists its reads, and everything else follows from the list: which stages have to
run first, what its fingerprint covers, what is missing, and which files are checked before anything runs."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

from cosa.checkpoints.locate import locate
from cosa.data.annotation_use import AnnotationUse
from cosa.data.media_limits import MAX_PIXELS
from workflows.spec.place import FieldPath
from workflows.spec.problems import did_you_mean
from workflows.spec.references import is_path
from workflows.spec.sections import DatasetSection, ExperimentSection


@dataclass(frozen=True)
class Missing:
    """A file or folder that does not exist.

    field: where the spec names it. path: as the spec writes it. wanted: 'file', 'folder' or 'checkpoint'. dataset and
    part: the dataset that it belongs to, and which part of it this is ('root', 'frames', or the name of a split).
    """

    field: str
    path: Path
    wanted: str
    dataset: str | None = None
    part: str = ""

    @property
    def short(self) -> str:
        """Say in a few words what is missing."""
        return f"data of {self.dataset}" if self.dataset is not None else f"{self.wanted} {self.path}"


class Connections(Protocol):
    """Looks up the names in a spec. All methods but `has_stage` report names that do not exist."""

    section: ExperimentSection

    def report(self, message: str, *path: str | int) -> None:
        """Report an error and the path of the field that it is about."""
        ...

    def has_stage(self, name: str) -> bool:
        """Return whether the spec defines a stage of this name."""
        ...

    def dataset(self, name: str, path: FieldPath) -> DatasetSection | None:
        """Look up a dataset by its name, which the spec has at a path."""
        ...

    def expect_stage(self, name: str, path: FieldPath, product: str | None, what: str) -> bool:
        """Return whether a name, which the spec has at a path, is that of a valid stage with a product; `what` describes it."""
        ...

    def frames_stages(self, dataset: str) -> list[str]:
        """Find the stages that extract frames of a dataset's clips; exactly one is expected."""
        ...


class Digests(Protocol):
    """Computes digests of the user's own files."""

    def of_file(self, path: Path) -> str:
        """Return the digest of a file's content."""
        ...

    def of_folder(self, folder: Path) -> str:
        """Return the digest of all files below a folder."""
        ...

    def of_pictures(self, folder: Path) -> str:
        """Return the digest of a folder of images or frames."""
        ...


class Read(ABC):
    """One thing that a stage reads."""

    @abstractmethod
    def inputs(self, connections: Connections, stage: str) -> Iterator[str]:
        """Yield names of the stages whose results it needs, and report names that do not exist."""

    @abstractmethod
    def digests(self, experiment: ExperimentSection, stage: str, digests: Digests) -> Iterator[tuple[str, str] | Missing]:
        """Yield (readable name, digest) for each of the user's own files that it reads, or `Missing` if it does not exist."""

    def paths(self, experiment: ExperimentSection) -> Iterator[Path]:
        """Yield the user's own files and folders that every machine has to see, as the spec writes them."""
        del experiment
        yield from ()

    def path_fields(self) -> Iterator[FieldPath]:
        """Yield the fields of the stage that hold paths."""
        yield from ()

    def facts(self, datasets: Mapping[str, DatasetSection]) -> tuple[str, dict[str, Any]] | None:
        """Return a dataset and the part of its section that decides the result; None where digests cover everything."""
        del datasets
        return None


@dataclass(frozen=True)
class MediaRead(Read):
    """The clips or images of a dataset. of: 'clips' are video files, 'pictures' images or extracted frames."""

    field: FieldPath  # of the dataset's name, below the stage
    dataset: str
    of: Literal["clips", "pictures"] = "pictures"

    def inputs(self, connections: Connections, stage: str) -> Iterator[str]:
        """Yield the stage that makes the dataset, and the one that extracts its frames."""
        dataset = connections.dataset(self.dataset, ("stages", stage, *self.field))
        if dataset is None:
            return
        if self.of == "clips" and dataset.media != "video":
            message = f"dataset {self.dataset!r} holds images; only clips have frames to extract"
            connections.report(message, "stages", stage, *self.field)
        if dataset.made_by is not None and connections.has_stage(dataset.made_by):
            yield dataset.made_by
        if self.of == "pictures" and dataset.media == "video" and dataset.frames is None:
            yield from connections.frames_stages(self.dataset)

    def digests(self, experiment: ExperimentSection, stage: str, digests: Digests) -> Iterator[tuple[str, str] | Missing]:
        """Digest all clips, images or frames below the folder."""
        del stage
        dataset = experiment.datasets[self.dataset]
        needs_frames = self.of == "pictures" and dataset.media == "video"
        if dataset.made_by is not None or (needs_frames and dataset.frames is None):
            return  # The fingerprint of the stage that makes them covers them.
        part, folder = ("frames", dataset.frames) if needs_frames else ("root", dataset.root)
        path = Path(str(folder)).expanduser()
        if not path.is_dir():
            yield Missing(f"datasets.{self.dataset}.{part}", path, "folder", self.dataset, part)
            return
        name = f"{self.dataset}/{'clips' if self.of == 'clips' else part}"
        yield name, digests.of_folder(path) if self.of == "clips" else digests.of_pictures(path)
        for linked in dataset.linked_folders:  # A walk through the folder does not follow links to other folders.
            outside = Path(linked).expanduser()
            if outside.is_dir():
                yield f"{name} in {linked}", digests.of_folder(outside)
            else:
                yield Missing(f"datasets.{self.dataset}.linked_folders", outside, "folder", self.dataset, "linked_folders")

    def paths(self, experiment: ExperimentSection) -> Iterator[Path]:
        """Yield the folders of clips or images, and of frames."""
        dataset = experiment.datasets[self.dataset]
        if dataset.made_by is None:
            folders = (dataset.root, dataset.frames, *dataset.linked_folders)
            yield from (Path(path) for path in folders if path is not None)

    def facts(self, datasets: Mapping[str, DatasetSection]) -> tuple[str, dict[str, Any]]:
        """Return the names inside a dataset that a stage makes; the user's own files are covered by their digests."""
        dataset = datasets[self.dataset]
        facts: dict[str, Any] = {"media": dataset.media}
        if self.of == "clips" and dataset.max_pixels != MAX_PIXELS:  # It may decide which clips are left out.
            facts["max_pixels"] = dataset.max_pixels
        if dataset.made_by is None:
            return self.dataset, facts
        return self.dataset, {**facts, "root": dataset.root, "frames": dataset.frames, "files": {}}


@dataclass(frozen=True)
class AnnotationsRead(Read):
    """An annotation file of a dataset. field: of the split's name, below the stage."""

    field: FieldPath
    dataset: str
    use: AnnotationUse

    def inputs(self, connections: Connections, stage: str) -> Iterator[str]:
        """Yield the stage that makes the dataset, and report a split or file that it does not have."""
        dataset = connections.section.datasets.get(self.dataset)
        where = ("stages", stage, *self.field)
        if dataset is not None and self.use.split not in dataset.splits:
            known = did_you_mean(self.use.split, dataset.splits)
            connections.report(f"dataset {self.dataset!r} has no split {self.use.split!r}{known}", *where)
        elif dataset is not None and self.use.required and self.file(dataset) is None:
            connections.report(f"split {self.use.split!r} of dataset {self.dataset!r} has no {self.use.kind}: file", *where)
        if dataset is not None and dataset.made_by is not None and connections.has_stage(dataset.made_by):
            yield dataset.made_by

    def digests(self, experiment: ExperimentSection, stage: str, digests: Digests) -> Iterator[tuple[str, str] | Missing]:
        """Digest the file's content."""
        del stage
        dataset = experiment.datasets[self.dataset]
        file = self.file(dataset)
        if dataset.made_by is not None or file is None:
            return
        path = Path(file).expanduser()
        if path.is_file():
            yield f"{self.dataset}/{self.use.split}/{self.use.kind}", digests.of_file(path)
        else:
            split = dataset.splits[self.use.split]
            field = f"datasets.{self.dataset}.splits.{self.use.split}"
            field += "" if split.captions == split.questions else f".{self.use.kind}"
            yield Missing(field, path, "file", self.dataset, self.use.split)

    def paths(self, experiment: ExperimentSection) -> Iterator[Path]:
        """Yield the file."""
        dataset = experiment.datasets[self.dataset]
        file = self.file(dataset)
        if dataset.made_by is None and file is not None:
            yield Path(file)

    def facts(self, datasets: Mapping[str, DatasetSection]) -> tuple[str, dict[str, Any]] | None:
        """Return the file's name inside a dataset that a stage makes."""
        dataset = datasets[self.dataset]
        if dataset.made_by is None:
            return None
        return self.dataset, {"files": {f"{self.use.split}/{self.use.kind}": self.file(dataset)}}

    def file(self, dataset: DatasetSection) -> str | None:
        """Return the file's path, as the spec writes it."""
        found: str | None = getattr(dataset.splits[self.use.split], self.use.kind)
        return found


@dataclass(frozen=True)
class CheckpointRead(Read):
    """The checkpoint of a stage, or one of the user's own."""

    field: str
    reference: str

    def inputs(self, connections: Connections, stage: str) -> Iterator[str]:
        """Yield the stage, if the reference names one."""
        where = ("stages", stage, self.field)
        what = "a stage that trains (pretrain or finetune)"
        if not is_path(self.reference) and connections.expect_stage(self.reference, where, "checkpoint", what):
            yield self.reference

    def digests(self, experiment: ExperimentSection, stage: str, digests: Digests) -> Iterator[tuple[str, str] | Missing]:
        """Digest the content of its weights."""
        del experiment
        if not is_path(self.reference):
            return
        path = Path(self.reference).expanduser()
        found = locate(path)
        if found is None:
            yield Missing(f"stages.{stage}.{self.field}", path, "checkpoint")
        else:
            yield f"checkpoint {self.reference}", digests.of_file(found.weights)

    def path_fields(self) -> Iterator[FieldPath]:
        """Yield its field."""
        if is_path(self.reference):
            yield (self.field,)

    def paths(self, experiment: ExperimentSection) -> Iterator[Path]:
        """Yield the folder or file."""
        del experiment
        if is_path(self.reference):
            yield Path(self.reference)


@dataclass(frozen=True)
class PretrainedRead(Read):
    """The weights with which the model section initialises the encoders."""

    def inputs(self, connections: Connections, stage: str) -> Iterator[str]:
        """Yield nothing, because no stage makes them."""
        del connections, stage
        yield from ()

    def digests(self, experiment: ExperimentSection, stage: str, digests: Digests) -> Iterator[tuple[str, str] | Missing]:
        """Digest the content of local files; weights from a hub are known by their name, which the model section holds."""
        vision, text = experiment.model.vision.pretrained, experiment.model.text.pretrained
        if isinstance(vision, str):
            yield from FileRead(("model", "vision", "pretrained"), vision, in_full=True).digests(experiment, stage, digests)
        if isinstance(text, str):
            field = ("model", "text", "pretrained")
            yield from FileRead(field, text, "folder", in_full=True).digests(experiment, stage, digests)


@dataclass(frozen=True)
class FileRead(Read):
    """A file or folder of the user's own. field: where the spec names it, below the stage, or in full."""

    field: FieldPath
    path: str
    wanted: Literal["file", "folder"] = "file"
    in_full: bool = False

    def inputs(self, connections: Connections, stage: str) -> Iterator[str]:
        """Yield nothing, because no stage makes it."""
        del connections, stage
        yield from ()

    def digests(self, experiment: ExperimentSection, stage: str, digests: Digests) -> Iterator[tuple[str, str] | Missing]:
        """Digest its content."""
        del experiment
        path, field = Path(self.path).expanduser(), ".".join(map(str, self.field))
        if not (path.is_file() if self.wanted == "file" else path.is_dir()):
            yield Missing(field if self.in_full else f"stages.{stage}.{field}", path, self.wanted)
        else:
            yield field, digests.of_file(path) if self.wanted == "file" else digests.of_folder(path)

    def path_fields(self) -> Iterator[FieldPath]:
        """Yield its field."""
        if not self.in_full:
            yield self.field

    def paths(self, experiment: ExperimentSection) -> Iterator[Path]:
        """Yield the file or folder."""
        del experiment
        yield Path(self.path)


@dataclass(frozen=True)
class ResultRead(Read):
    """The result of another stage, of any kind. field: of its name, below the stage."""

    field: FieldPath
    stage: str

    def inputs(self, connections: Connections, stage: str) -> Iterator[str]:
        """Yield the stage."""
        if connections.expect_stage(self.stage, ("stages", stage, *self.field), None, "a stage"):
            yield self.stage

    def digests(self, experiment: ExperimentSection, stage: str, digests: Digests) -> Iterator[tuple[str, str] | Missing]:
        """Yield nothing, because the fingerprint of the stage covers its result."""
        del experiment, stage, digests
        yield from ()


def datasets_read(reads: Iterable[Read]) -> list[str]:
    """Return names of the datasets of which pictures or annotations are read, each once."""
    return list(dict.fromkeys(read.dataset for read in reads if isinstance(read, MediaRead | AnnotationsRead)))


def dataset_facts(reads: Iterable[Read], datasets: Mapping[str, DatasetSection]) -> dict[str, dict[str, Any]]:
    """Return by dataset the parts of its section that decide a stage's result."""
    facts: dict[str, dict[str, Any]] = {}
    for read in reads:
        found = read.facts(datasets)
        if found is not None:
            dataset, more = found
            known = facts.setdefault(dataset, {})
            files = {**known.get("files", {}), **more.get("files", {})}
            known.update(more)
            if "files" in known:
                known["files"] = files
    return facts
