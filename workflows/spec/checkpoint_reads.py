"""Describes a checkpoint as something that a stage reads."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cosa.checkpoints.locate import locate
from cosa.errors import UserError
from workflows.results.contents import made_as
from workflows.results.layout import CHECKPOINT_FOLDER
from workflows.results.manifest import read_manifest
from workflows.spec.place import FieldPath
from workflows.spec.read import Basis, Connections, Digests, Found, Missing, Read
from workflows.spec.references import is_path
from workflows.spec.sections import ExperimentSection


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

    def digests(self, experiment: ExperimentSection, stage: str, digests: Digests) -> Iterator[Found | Missing]:
        """Digest the content of its weights."""
        del experiment
        if not is_path(self.reference):
            return
        path = Path(self.reference).expanduser()
        found = locate(path)
        if found is None:
            yield Missing(f"stages.{stage}.{self.field}", path, "checkpoint")
        else:
            yield Found(f"checkpoint {self.reference}", " ".join(map(digests.of_file, found.parts)))

    def identity(self, basis: Basis) -> Any:
        """Return the stage's result, also if a path leads to that of a stage, or else the weights' content."""
        if not is_path(self.reference):
            return {"field": self.field, "result": basis.result(self.reference)}
        found = locate(Path(self.reference).expanduser())
        result = _result_with(found.parts, basis.digests) if found is not None else None
        if result is not None:
            return {"field": self.field, "result": result}
        return {"field": self.field, "content": None if found is None else list(map(basis.digests.of_file, found.parts))}

    def named_in(self, experiment: ExperimentSection) -> Iterator[FieldPath]:
        """Yield its field."""
        del experiment
        yield ("section", self.field)

    def path_fields(self) -> Iterator[FieldPath]:
        """Yield its field."""
        if is_path(self.reference):
            yield (self.field,)

    def paths(self, experiment: ExperimentSection) -> Iterator[Path]:
        """Yield the folder or file."""
        del experiment
        if is_path(self.reference):
            yield Path(self.reference)


def _result_with(parts: Sequence[Path], digests: Digests) -> str | None:
    """Return the fingerprint of the result whose checkpoint these files are, unchanged; None if they are of none."""
    folder = parts[0].resolve().parent
    if folder.name != CHECKPOINT_FOLDER:
        return None
    try:
        made = read_manifest(folder.parent)
    except UserError:  # A damaged one says nothing of them.
        return None
    is_unchanged = made is not None and made_as(folder.parent, made.contents, map(Path.resolve, parts), digests.checksum)
    return made.fingerprint if made is not None and is_unchanged else None
