"""Defines what a read is: one thing that a stage reads, and what is asked of it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Protocol

from cosa.data.annotation_columns import AnnotationSource
from cosa.data.media_lookup import Media
from cosa.errors import DataError
from cosa.message_text import quoted
from workflows.spec.place import FieldPath
from workflows.spec.sections import DatasetSection, ExperimentSection


@dataclass(frozen=True)
class Found:
    """Something of the user's own that a stage reads, and its content.

    name: by which manifests know it. digest: of the content. place: where it is, as the spec writes it; empty if only its name
    says that. amount: how much it holds, such as '46 captions'; empty if nobody counts.
    """

    name: str
    digest: str
    place: str = ""
    amount: str = ""


NAMED = 3  # missing clips or images that a plan names in its table


@dataclass(frozen=True)
class MissingMedia:
    """Clips or images that annotations name and that have no usable file.

    media: where they should be. named_by: the annotation files. found: identifiers of others that these name and that have a
    file. problems: by identifier, what is wrong.
    """

    media: Media
    named_by: Sequence[AnnotationSource]
    found: Set[str]
    problems: Mapping[str, DataError]

    @property
    def count(self) -> int:
        """Return how many the annotations name."""
        return len(self.found) + len(self.problems)

    @property
    def short(self) -> str:
        """Say in a few words how many there are, and name some."""
        lacking = len(self.problems)
        names = ", ".join(map(quoted, islice(self.problems, NAMED))) + (", ..." if lacking > NAMED else "")
        what = self.media.singular if self.count == 1 else self.media.plural
        return f"{self.media.of}{lacking} of {self.count} {what} ({names})"


@dataclass(frozen=True)
class Missing:
    """A file or folder that does not exist.

    field: where the spec names it. path: as the spec writes it. wanted: 'file', 'folder', 'checkpoint', 'clips' or 'images'.
    dataset and part: the dataset that it belongs to, and which part of it this is ('root', 'frames', or the name of a split).
    media: which clips or images are missing, if the folder is there.
    """

    field: str
    path: Path
    wanted: str
    dataset: str | None = None
    part: str = ""
    media: MissingMedia | None = None

    @property
    def short(self) -> str:
        """Say in a few words what is missing."""
        if self.media is not None:
            return self.media.short
        return f"data of dataset {self.dataset}" if self.dataset is not None else f"{self.wanted} {self.path}"


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

    def index_stages(self, dataset: str) -> list[str]:
        """Find the stages that index a dataset's shards; exactly one is expected."""
        ...


class Digests(Protocol):
    """Computes digests of the user's own files."""

    def of_file(self, path: Path) -> str:
        """Return the digest of a file's content."""
        ...

    def checksum(self, path: Path) -> str:
        """Return the digest of a file's content by which results know their files."""
        ...

    def checksums(self, paths: Sequence[Path]) -> list[str]:
        """Return the digests of files as `checksum` does; several are read at once."""
        ...

    def of_folder(self, folder: Path, suffixes: Collection[str] = ()) -> str:
        """Return the digest of all files below a folder, or of those with some suffixes, in lower case."""
        ...

    def of_media(self, media: Media, named_by: Sequence[AnnotationSource]) -> str | MissingMedia:
        """Return the digest of the clips or images that some files name, or those that are missing."""
        ...

    def of_annotations(self, source: AnnotationSource) -> str:
        """Return the digest of what an annotation file says, however it is written."""
        ...

    def amount_of(self, source: AnnotationSource) -> int:
        """Return how many captions or questions of an annotation file count; 0 if it cannot be used."""
        ...

    def amount_of_media(self, media: Media, named_by: Sequence[AnnotationSource], digest: str) -> int:
        """Return how many clips or images `of_media` has found, when it returned a digest; 0 if nobody knows any more."""
        ...

    def media_ids(self, source: AnnotationSource) -> Iterable[str]:
        """Return the identifiers of clips or images of an annotation file that count, each once."""
        ...

    def contents_of(self, media: Media, media_ids: Iterable[str]) -> tuple[dict[str, str], dict[str, DataError]]:
        """Return the digests of clips or images by identifier, and by identifier what is wrong with the others."""
        ...


class Basis(Protocol):
    """What the identity of a stage's result is made of."""

    @property
    def experiment(self) -> ExperimentSection:
        """The top of the spec."""
        ...

    @property
    def digests(self) -> Digests:
        """Digests of the user's own files."""
        ...

    def result(self, stage: str) -> str:
        """Return the fingerprint of another stage's result."""
        ...

    def extraction(self, dataset: str) -> str:
        """Return what names the way in which frames of a dataset's clips are extracted."""
        ...

    def indexing(self, dataset: str) -> str:
        """Return what names the way in which a dataset's shards are indexed."""
        ...


class Read(ABC):
    """One thing that a stage reads."""

    @abstractmethod
    def inputs(self, connections: Connections, stage: str) -> Iterator[str]:
        """Yield names of the stages whose results it needs, and report names that do not exist."""

    @abstractmethod
    def digests(self, experiment: ExperimentSection, stage: str, digests: Digests) -> Iterator[Found | Missing]:
        """Yield what it reads of the user's own, or `Missing` where that does not exist."""

    def contents(self, experiment: ExperimentSection, digests: Digests) -> Mapping[str, Mapping[str, str]]:
        """Return digests of single clips or images by identifier, by the name of all; nothing if it reads none."""
        del experiment, digests
        return {}

    def paths(self, experiment: ExperimentSection) -> Iterator[Path]:
        """Yield the user's own files and folders that every machine has to see, as the spec writes them."""
        del experiment
        yield from ()

    def path_fields(self) -> Iterator[FieldPath]:
        """Yield the fields of the stage that hold paths."""
        yield from ()

    @abstractmethod
    def identity(self, basis: Basis) -> Any:
        """Return what it reads, as data that JSON can hold: by content and not by name, so that what is only renamed is the
        same. None if others cover it."""

    def named_in(self, experiment: ExperimentSection) -> Iterator[FieldPath]:
        """Yield the fields that only name what is read, below 'section' (of the stage) or 'model': its identity counts in
        fingerprints, and they do not."""
        del experiment
        yield from ()
