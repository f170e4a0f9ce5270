"""Describes the files of a dataset's authors, which a stage reads of a folder that may hold a terabyte besides."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cosa.datasets.authors.source_file import SourceFile, found_files, missing_files
from workflows.spec.place import FieldPath
from workflows.spec.read import Basis, Connections, Digests, Found, Missing, Read
from workflows.spec.sections import ExperimentSection


@dataclass(frozen=True)
class SourceRead(Read):
    """Some files of a folder. field: of the folder, below the stage. files: as their authors publish them."""

    field: FieldPath
    folder: str
    files: tuple[SourceFile, ...]

    def inputs(self, connections: Connections, stage: str) -> Iterator[str]:
        """Yield nothing, because no stage makes them."""
        del connections, stage
        yield from ()

    def digests(self, experiment: ExperimentSection, stage: str, digests: Digests) -> Iterator[Found | Missing]:
        """Digest the files that are there, each once, and name those that have to be."""
        del experiment
        folder, field = Path(self.folder).expanduser(), ".".join(map(str, self.field))
        if not folder.is_dir():
            yield Missing(f"stages.{stage}.{field}", folder, "folder")
            return
        found = found_files(folder, self.files)
        for file in missing_files(self.files, found):
            yield Missing(f"stages.{stage}.{field}", folder / file.name, "file")
        for name, place in found.items():
            yield Found(f"{field}/{name}", digests.of_file(place.path), str(place))

    def identity(self, basis: Basis) -> Any:
        """Return their contents."""
        found = self.digests(basis.experiment, "", basis.digests)
        return [(one.name, one.digest) for one in found if not isinstance(one, Missing)]

    def named_in(self, experiment: ExperimentSection) -> Iterator[FieldPath]:
        """Yield the folder's field."""
        del experiment
        yield ("section", *self.field)

    def path_fields(self) -> Iterator[FieldPath]:
        """Yield the folder's field."""
        yield self.field

    def paths(self, experiment: ExperimentSection) -> Iterator[Path]:
        """Yield the folder."""
        del experiment
        yield Path(self.folder)
