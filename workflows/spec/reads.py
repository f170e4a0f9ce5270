"""Describes what stages can read. A kind of stage lists its reads, and everything else follows from the list: which stages have
to run first, what its fingerprint covers, what is missing, and which files are checked before anything runs."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from cosa.data.annotation_columns import AnnotationSource
from cosa.data.annotation_use import AnnotationUse
from cosa.data.media_lookup import Clips, FrameSets, Images, Media
from cosa.data.split_reading import IN_FULL
from cosa.errors import DataError
from workflows.spec.place import FieldPath
from workflows.spec.problems import did_you_mean
from workflows.spec.read import Basis, Connections, Digests, Found, Missing, MissingMedia, Read
from workflows.spec.sections import DatasetSection, ExperimentSection
from workflows.spec.shard_reads import ShardsRead, content_of, has_shards


@dataclass(frozen=True)
class MediaRead(Read):
    """The clips or images of a dataset.

    field: of the dataset's name, below the stage. of: 'clips' are video files, 'pictures' images or frames. named_by: the
    annotation files that name them; all files of the folder count if there are none. may_lack: how many clips may have no file.
    """

    field: FieldPath
    dataset: str
    of: Literal["clips", "pictures"] = "pictures"
    named_by: tuple[AnnotationUse, ...] = ()
    may_lack: int = 0

    def inputs(self, connections: Connections, stage: str) -> Iterator[str]:
        """Yield the stage that makes the dataset, and the one that extracts its frames."""
        dataset = connections.dataset(self.dataset, ("stages", stage, *self.field))
        if dataset is None:
            return
        if self.of == "clips" and dataset.media != "video":
            message = f"dataset {self.dataset!r} holds images; only clips have frames to extract"
            connections.report(message, "stages", stage, *self.field)
        if dataset.has_shards and self.of == "clips":
            connections.report(f"dataset {self.dataset!r} consists of shards, from which nothing is extracted", "stages", stage)
        if dataset.made_by is not None and connections.has_stage(dataset.made_by):
            yield dataset.made_by
        if dataset.has_shards:
            yield from connections.index_stages(self.dataset)
        elif self._extracted(dataset):
            yield from connections.frames_stages(self.dataset)

    def digests(self, experiment: ExperimentSection, stage: str, digests: Digests) -> Iterator[Found | Missing]:
        """Digest the clips, images or frames."""
        del stage
        dataset = experiment.datasets[self.dataset]
        if dataset.made_by is not None or dataset.has_shards or self._extracted(dataset):
            return  # The identity of the stage that makes them covers them.
        part = self._part(dataset)
        where = f"datasets.{self.dataset}"
        media = self._media(dataset)
        if not media.root.is_dir():
            yield Missing(f"{where}.{part}", media.root, "folder", self.dataset, part)
            return
        for linked in media.linked_folders:
            if not Path(linked).is_dir():
                yield Missing(f"{where}.linked_folders", Path(linked), "folder", self.dataset, "linked_folders")
                return
        found = self._digest(dataset, media, digests)
        if isinstance(found, MissingMedia):
            yield Missing(f"{where}.{part}", media.root, media.plural, self.dataset, part, found)
        elif found is not None:
            count = digests.amount_of_media(media, self._files(dataset), found) if self.named_by else 0
            yield Found(self._name(dataset), found, str(media.root), counted(count, media.singular, media.plural))

    def contents(self, experiment: ExperimentSection, digests: Digests) -> Mapping[str, Mapping[str, str]]:
        """Return the contents of those that annotations name, unless a stage makes them."""
        dataset = experiment.datasets[self.dataset]
        if dataset.made_by is not None or dataset.has_shards or self._extracted(dataset):
            return {}
        ids = (media_id for source in self._files(dataset) for media_id in digests.media_ids(source))
        return {self._name(dataset): digests.contents_of(self._media(dataset), ids)[0]}

    def paths(self, experiment: ExperimentSection) -> Iterator[Path]:
        """Yield the folders of clips or images, and of frames."""
        dataset = experiment.datasets[self.dataset]
        if dataset.made_by is None:
            folders = (dataset.root, dataset.frames, *dataset.linked_folders)
            yield from (Path(path) for path in folders if path is not None)

    def identity(self, basis: Basis) -> Any:
        """Return the contents, or which stage makes them, and how frames are extracted."""
        dataset = basis.experiment.datasets[self.dataset]
        found: dict[str, Any] = {"media": dataset.media, "field": self.field}
        if dataset.has_shards:  # Which shards, the split says.
            extraction = {} if dataset.decode is None else {"extraction": basis.extraction(self.dataset)}
            return {**found, "indexing": basis.indexing(self.dataset), **extraction}
        if self._extracted(dataset) or self._of_clips(dataset):
            found["extraction"] = basis.extraction(self.dataset)
        if dataset.made_by is not None:
            return {**found, "made": basis.result(dataset.made_by), "root": dataset.root, "frames": dataset.frames}
        content = self._digest(dataset, replace(self._media(dataset), allowed=sys.maxsize), basis.digests)
        return {**found, "content": content}

    def named_in(self, experiment: ExperimentSection) -> Iterator[FieldPath]:
        """Yield the field of the dataset's name."""
        del experiment
        yield ("section", *self.field)

    def _extracted(self, dataset: DatasetSection) -> bool:
        """Return whether it reads frames that a stage extracts."""
        return self.of == "pictures" and dataset.media == "video" and dataset.frames is None and dataset.decode is None

    def _of_clips(self, dataset: DatasetSection) -> bool:
        """Return whether it reads the clips themselves."""
        return self.of == "clips" or dataset.decode is not None

    def _part(self, dataset: DatasetSection) -> str:
        """Return the field of the dataset that names the folder."""
        return "root" if dataset.media == "image" or self._of_clips(dataset) else "frames"

    def _name(self, dataset: DatasetSection) -> str:
        return f"{self.dataset}/{'clips' if self._of_clips(dataset) else self._part(dataset)}"

    def _media(self, dataset: DatasetSection) -> Media:
        assert dataset.root is not None
        linked = tuple(str(Path(folder).expanduser()) for folder in dataset.linked_folders)
        if dataset.media == "image":
            return Images(Path(dataset.root).expanduser(), linked)
        if self.of == "pictures" and dataset.frames is not None:
            return FrameSets(Path(dataset.frames).expanduser(), linked)
        return Clips(Path(dataset.root).expanduser(), linked, self.may_lack)

    def _files(self, dataset: DatasetSection) -> list[AnnotationSource]:
        """Return the annotation files that name them."""
        uses = (use for use in self.named_by if use.split in dataset.splits)
        sources = {source for use in uses if (source := source_of(dataset, use)) is not None}
        return sorted(sources, key=lambda source: (source.path, source.kind, str(source.reading)))

    def _digest(self, dataset: DatasetSection, media: Media, digests: Digests) -> str | MissingMedia | None:
        """Digest what the annotations name; None if one of these cannot be read, which is reported where it is read."""
        if not self.named_by:
            return digests.of_folder(media.root)
        files = self._files(dataset)
        if not all(source.path.is_file() for source in files):
            return None
        try:
            return digests.of_media(media, files)
        except DataError:
            return None


def source_of(dataset: DatasetSection, use: AnnotationUse) -> AnnotationSource | None:
    """Return the annotation file of a use, and how it is read; None if the split has none."""
    split = dataset.splits[use.split]
    file: str | None = getattr(split, use.kind)
    return None if file is None else AnnotationSource(Path(file).expanduser(), use.kind, split.reading_of(use.kind))


def counted(count: int, singular: str, plural: str) -> str:
    """Return a number with what it counts; nothing for 0."""
    return f"{count} {singular if count == 1 else plural}" if count else ""


def naming_clips(*uses: AnnotationUse) -> tuple[AnnotationUse, ...]:
    """Return those of some annotation files that say which clips are read: references may be of more."""
    return tuple(AnnotationUse(use.split, use.kind, only_ids=True) for use in uses if use.kind != "references")


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
        elif dataset is not None and self._in_shards(dataset):
            pass
        elif dataset is not None and self.use.required and dataset.has_shards:
            what = f"shards, which hold captions and no {self.use.kind}; give a dataset of annotation files"
            connections.report(f"dataset {self.dataset!r} consists of {what}", *where)
        elif dataset is not None and self.use.required and self.file(dataset) is None:
            connections.report(f"split {self.use.split!r} of dataset {self.dataset!r} has no {self.use.kind}: file", *where)
        if dataset is not None and dataset.made_by is not None and connections.has_stage(dataset.made_by):
            yield dataset.made_by

    def digests(self, experiment: ExperimentSection, stage: str, digests: Digests) -> Iterator[Found | Missing]:
        """Digest the file's content."""
        dataset = experiment.datasets[self.dataset]
        if self._in_shards(dataset):
            yield from self._shards.digests(experiment, stage, digests)
        file = self.file(dataset)
        if dataset.made_by is not None or file is None:
            return
        path, source = Path(file).expanduser(), source_of(dataset, self.use)
        if path.is_file() and source is not None:
            if not self.use.only_ids:
                kind, digest = self.use.kind, digests.of_annotations(source)
                one = "question" if kind == "questions" else "caption"
                amount = counted(digests.amount_of(source), one, f"{one}s")
                yield Found(f"{self.dataset}/{self.use.split}/{kind}", digest, file, amount)
        else:
            split = dataset.splits[self.use.split]
            field = f"datasets.{self.dataset}.splits.{self.use.split}"
            field += "" if split.captions == split.questions else f".{self.use.kind}"
            yield Missing(field, path, "file", self.dataset, self.use.split)

    def paths(self, experiment: ExperimentSection) -> Iterator[Path]:
        """Yield the file, or the folders of the shards."""
        dataset = experiment.datasets[self.dataset]
        if self._in_shards(dataset):
            yield from self._shards.paths(experiment)
        file = self.file(dataset)
        if dataset.made_by is None and file is not None:
            yield Path(file)

    def identity(self, basis: Basis) -> Any:
        """Return what the file says, or its name in the dataset that a stage makes; None if it only names clips."""
        dataset = basis.experiment.datasets[self.dataset]
        if self._in_shards(dataset):
            part = dataset.splits[self.use.split].reading_of(self.use.kind).plain()
            content = content_of(basis, self.dataset, self.use.split)
            return {"field": self.field, "kind": self.use.kind, **content, **({"reading": part} if part else {})}
        file, source = self.file(dataset), source_of(dataset, self.use)
        if file is None or source is None:
            return None
        found: dict[str, Any] = {"field": self.field, "kind": self.use.kind}
        if dataset.made_by is not None:
            reading = {} if source.reading == IN_FULL else {"reading": source.reading.plain()}
            return {**found, "made": basis.result(dataset.made_by), "file": file, **reading}
        return None if self.use.only_ids else {**found, "content": basis.digests.of_annotations(source)}

    def named_in(self, experiment: ExperimentSection) -> Iterator[FieldPath]:
        """Yield the field of the split's name."""
        del experiment
        yield ("section", *self.field)

    @property
    def _shards(self) -> ShardsRead:
        return ShardsRead(self.field, self.dataset, self.use.split)

    def _in_shards(self, dataset: DatasetSection) -> bool:
        """Return whether it is captions in shards that are read."""
        return self.use.kind == "captions" and not self.use.only_ids and has_shards(dataset, self.use.split)

    def source(self, dataset: DatasetSection) -> tuple[str | None, str]:
        """Return the path of the file, or of all shards, as the spec writes it, and what that is."""
        if self._in_shards(dataset):
            return ", ".join(dataset.splits[self.use.split].shards), "shards"
        return self.file(dataset), self.use.kind

    def file(self, dataset: DatasetSection) -> str | None:
        """Return the file's path, as the spec writes it."""
        found: str | None = getattr(dataset.splits[self.use.split], self.use.kind)
        return found


@dataclass(frozen=True)
class PretrainedRead(Read):
    """The weights with which the model section initialises the encoders."""

    def inputs(self, connections: Connections, stage: str) -> Iterator[str]:
        """Yield nothing, because no stage makes them."""
        del connections, stage
        yield from ()

    def digests(self, experiment: ExperimentSection, stage: str, digests: Digests) -> Iterator[Found | Missing]:
        """Digest the content of local files; weights from a hub are known by their name, which the model section holds."""
        for file in self._files(experiment):
            yield from file.digests(experiment, stage, digests)

    def identity(self, basis: Basis) -> Any:
        """Return the content of local files."""
        return [file.identity(basis) for file in self._files(basis.experiment)]

    def named_in(self, experiment: ExperimentSection) -> Iterator[FieldPath]:
        """Yield the fields that name local files."""
        yield from (file.field for file in self._files(experiment))

    @staticmethod
    def _files(experiment: ExperimentSection) -> Iterator[FileRead]:
        vision, text = experiment.model.vision.pretrained, experiment.model.text.pretrained
        if isinstance(vision, str):
            yield FileRead(("model", "vision", "pretrained"), vision, in_full=True)
        if isinstance(text, str):
            yield FileRead(("model", "text", "pretrained"), text, "folder", in_full=True)


@dataclass(frozen=True)
class FileRead(Read):
    """A file or folder of the user's own.

    field: where the spec names it, below the stage, or in full. suffixes: of the files of a folder that count, in lower case;
    all of them if there are none.
    """

    field: FieldPath
    path: str
    wanted: Literal["file", "folder"] = "file"
    in_full: bool = False
    suffixes: frozenset[str] = frozenset()

    def inputs(self, connections: Connections, stage: str) -> Iterator[str]:
        """Yield nothing, because no stage makes it."""
        del connections, stage
        yield from ()

    def digests(self, experiment: ExperimentSection, stage: str, digests: Digests) -> Iterator[Found | Missing]:
        """Digest its content."""
        del experiment
        path, field = Path(self.path).expanduser(), ".".join(map(str, self.field))
        if not (path.is_file() if self.wanted == "file" else path.is_dir()):
            yield Missing(field if self.in_full else f"stages.{stage}.{field}", path, self.wanted)
        else:
            yield Found(field, digests.of_file(path) if self.wanted == "file" else digests.of_folder(path, self.suffixes))

    def identity(self, basis: Basis) -> Any:
        """Return its content."""
        found = self.digests(basis.experiment, "", basis.digests)
        return [(one.name, one.digest) for one in found if not isinstance(one, Missing)]

    def named_in(self, experiment: ExperimentSection) -> Iterator[FieldPath]:
        """Yield its field."""
        del experiment
        if not self.in_full:
            yield ("section", *self.field)

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

    def digests(self, experiment: ExperimentSection, stage: str, digests: Digests) -> Iterator[Found | Missing]:
        """Yield nothing, because the fingerprint of the stage covers its result."""
        del experiment, stage, digests
        yield from ()

    def identity(self, basis: Basis) -> Any:
        """Return the stage's result."""
        return {"field": self.field, "result": basis.result(self.stage)}

    def named_in(self, experiment: ExperimentSection) -> Iterator[FieldPath]:
        """Yield the field of the stage's name."""
        del experiment
        yield ("section", *self.field)


def datasets_read(reads: Iterable[Read]) -> list[str]:
    """Return names of the datasets of which pictures or annotations are read, each once."""
    return list(dict.fromkeys(read.dataset for read in reads if isinstance(read, MediaRead | AnnotationsRead | ShardsRead)))
