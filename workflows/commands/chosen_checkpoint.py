"""Finds the checkpoint that a command is to use: one that is named, or the newest that an experiment trained for a task."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from cosa.errors import UserError
from cosa.inference.sources import SOURCES, local_checkpoint
from cosa.tasks.retrieval import Retrieval
from workflows.commands.naming import DEFAULT_STORAGE, result_named
from workflows.records.headline import headline
from workflows.results.inventory import StoredResult
from workflows.results.layout import CHECKPOINT_FOLDER
from workflows.results.manifest import Manifest, read_manifest
from workflows.results.storage import complete
from workflows.spec.problems import did_you_mean
from workflows.spec.stage_kinds import kind_of, recorded_section
from workflows.terminal.streams import say

if TYPE_CHECKING:
    from cosa.inference.search_index import SearchIndex

VARIABLE = "COSA_CHECKPOINT"
CHECKPOINT = "checkpoint"  # what a result that holds one calls it among its outputs


@dataclass(frozen=True)
class Choice:
    """What names a checkpoint: an address or a result, or the experiment whose newest one is meant. storage: of results."""

    address: str | None
    experiment: str | None
    storage: Path

    def checkpoint(self, task: str) -> str:
        """Return the address of the checkpoint. If nobody named it, a line on standard error says which it is.

        task: what it should have been trained for.

        Raises:
            UserError: there is none, or two are named.
        """
        if self.address is not None and self.experiment is not None:
            raise UserError("--checkpoint and --experiment both name a checkpoint; give one of them")
        if self.address is not None and not self.address.strip():
            raise UserError("--checkpoint is empty; name a folder, a file, EXPERIMENT/STAGE, mlflow:RUN or hf:NAME")
        if self.address is not None:
            return self.found(self.address)
        by_variable = os.environ.get(VARIABLE)
        if self.experiment is not None or not by_variable:
            return self._newest(task)
        try:
            return str(local_checkpoint(self.found(by_variable)))
        except UserError as error:
            raise UserError(f"the variable {VARIABLE} names the checkpoint: {error}") from error

    def checkpoint_for(self, index: SearchIndex | None) -> str:
        """Return the address of the checkpoint whose vectors are compared with an index's: the one that is named, or else the
        one that made the index. Without an index, as `checkpoint` of retrieval.

        Raises:
            UserError: as of `checkpoint`.
        """
        if index is not None and self.address is None and self.experiment is None:
            return index.header.checkpoint
        return self.checkpoint(Retrieval.name)

    def found(self, named: str) -> str:
        """Return the path that is named, where it is fetched to, or a result's: EXPERIMENT/STAGE, a fingerprint, a run's id.

        A storage that is not the usual one was named, so that its runs are meant.

        Raises:
            UserError: nothing is called so, or it cannot be fetched.
        """
        scheme, colon, _ = named.partition(":")
        if colon and scheme in SOURCES:
            return str(local_checkpoint(named, self.storage if self.storage != DEFAULT_STORAGE else None))
        if named.startswith(("/", "./", "../", "~")) or Path(named).exists():
            return named
        if not self.storage.is_dir():
            if self.storage == DEFAULT_STORAGE and not self.storage.exists():  # Nobody has named it: it is a path.
                return named
            self._check_storage()
        result, inventory = result_named(named, self.storage)
        if result.manifest is not None and CHECKPOINT not in result.manifest.outputs:
            used = [one.name for found in inventory.inputs_of(result).values() for one in found[:1] if _has_checkpoint(one)]
            advice = f"it used that of {used[0]}: give --checkpoint {used[0]}" if used else "name a training stage"
            raise UserError(f"--checkpoint {named}: {result.name} is of kind {result.manifest.kind} and has none; {advice}")
        return str(result.folder / CHECKPOINT_FOLDER)

    def _check_storage(self) -> None:
        if not self.storage.is_dir():
            what = "is no folder" if self.storage.exists() else "does not exist"
            raise UserError(
                f"{self.storage.absolute()}, the folder of results, {what}; name another with --storage, or a checkpoint with "
                f"--checkpoint or the variable {VARIABLE}"
            )

    def _newest(self, task: str) -> str:
        self._check_storage()
        found = list(_trained(self.storage))
        if self.experiment is not None:
            names = sorted({manifest.experiment for _, manifest, _ in found})
            if self.experiment not in names:
                folder = self.storage.absolute()
                raise UserError(
                    f"--experiment {self.experiment}: no experiment of that name has trained anything in {folder}"
                    f"{did_you_mean(self.experiment, names)}"
                )
            found = [one for one in found if one[1].experiment == self.experiment]
        fit = [one for one in found if one[2] == task]
        if not fit:
            where = f"experiment {self.experiment}" if self.experiment is not None else str(self.storage.absolute())
            trained = sorted({str(one[2]) for one in found if one[2] is not None})
            instead = f" (it has {', '.join(trained)})" if trained else ""
            raise UserError(
                f"nothing in {where} was finetuned for {task}{instead}; name a checkpoint with --checkpoint, or set {VARIABLE}"
            )
        result, manifest, _ = max(fit, key=lambda one: one[1].started)
        section = recorded_section(manifest.kind, manifest.section)
        figures = headline(manifest.kind, manifest.metrics, None if section is None else kind_of(section).measured_on(section))
        say(f"using {result}{f' ({figures})' if figures else ''}")
        return str(result / CHECKPOINT_FOLDER)


def _has_checkpoint(result: StoredResult) -> bool:
    return result.manifest is not None and CHECKPOINT in result.manifest.outputs


def _trained(storage: Path) -> Iterator[tuple[Path, Manifest, str | None]]:
    """Yield the results that hold a checkpoint, with the task that each was finetuned for."""
    for folder in complete(sorted(storage.glob("[!.]*/[!.]*/*"))):
        with suppress(UserError):  # `cosa verify` names damaged ones.
            manifest = read_manifest(folder)
            if manifest is None or CHECKPOINT not in manifest.outputs:
                continue
            section = recorded_section(manifest.kind, manifest.section)
            lineage = kind_of(section).lineage(section) if section is not None else None
            yield folder, manifest, lineage.task if lineage is not None else None
