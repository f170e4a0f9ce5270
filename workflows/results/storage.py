"""Stores results of stages on disk: `<storage>/<experiment>/<stage>/<fingerprint>/` with a manifest. A result appears by one
atomic rename when it is complete; until then its folder ends in `.partial`, from which the next run resumes. One that is made
again stays until the new one is complete."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from cosa.errors import UserError
from workflows.results.atomic import flush, flush_tree, rename_durably
from workflows.results.contents import CONTENTS, Contents, damage, damage_at_a_glance
from workflows.results.layout import CHANGED_DATA, LOCKS_FOLDER, MANIFEST, PARTIAL, REPLACED
from workflows.results.manifest import DamagedResultError, Manifest, read_manifest


def complete(folders: Iterable[Path]) -> Iterator[Path]:
    """Yield those of some folders that hold a complete result, also if it is damaged since.

    One that was set aside for a new one counts only if the new one is not there: the run was killed just before.
    """
    for folder in folders:
        if folder.name.startswith("."):
            result = folder.with_name(folder.name.removeprefix(".").removesuffix(REPLACED))
            is_result = folder.name.endswith(REPLACED) and not result.exists()
        else:
            is_result = not folder.name.endswith(PARTIAL)
        if is_result and any((folder / name).exists() for name in (MANIFEST, CONTENTS)):
            yield folder


def lock_file(root: Path, fingerprint: str) -> Path:
    """Return the file by which a result is locked. root: the storage folder."""
    return root / LOCKS_FOLDER / fingerprint


@dataclass(frozen=True)
class Storage:
    """The folder of all results of an experiment."""

    root: Path
    experiment: str

    @property
    def folder(self) -> Path:
        """Return the folder of the experiment."""
        return self.root / self.experiment

    def result(self, stage: str, fingerprint: str) -> Path:
        """Return where the complete result of a stage belongs."""
        return self.folder / stage / fingerprint

    def own(self, stage: str, fingerprint: str) -> Path:
        """Return where the complete result of a stage is, if there is one: not where it belongs, if a run was killed while it
        exchanged the result for a new one."""
        result = self.result(stage, fingerprint)
        aside = self._set_aside(result)
        return result if result.exists() or not aside.is_dir() else aside

    def existing(self, stage: str, fingerprint: str, kind: str) -> Path | None:
        """Find a result: that of the stage itself, or else one that another stage or experiment of this storage made.

        A fingerprint covers everything that decides a result, so both are the same. Only one that is intact at a glance is used
        of another's; None if there is none.
        """
        own = self.own(stage, fingerprint)
        if own.exists():
            return own
        names = (fingerprint, self._set_aside(own).name)
        for folder in complete(path for name in names for path in sorted(self.root.glob(f"[!.]*/[!.]*/{name}"))):
            with suppress(UserError):
                found = read_manifest(folder)
                if found is not None and found.kind == kind and damage_at_a_glance(folder, found.contents) is None:
                    return folder
        return None

    def partial(self, stage: str, fingerprint: str) -> Path:
        """Return where a stage works until it is complete."""
        return self.folder / stage / f"{fingerprint}{PARTIAL}"

    def check_writable(self) -> None:
        """Raise UserError unless results can be written."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            probe = self.folder / f".write-test-{os.getpid()}"
            probe.write_text("")
            probe.unlink()
        except OSError as error:
            raise UserError(
                f"storage: {self.folder.resolve()} cannot be written ({error.strerror}); choose another folder with "
                "`storage:` in the spec or --set storage=FOLDER"
            ) from error

    def manifests(self, stage: str) -> Iterator[Manifest]:
        """Yield the manifests of the complete results of a stage, whatever their fingerprints, the newest first."""
        folder = self.folder / stage
        if not folder.is_dir():
            return
        results = [path for path in complete(folder.iterdir()) if (path / MANIFEST).exists()]
        for result in sorted(results, key=lambda path: (path / MANIFEST).stat().st_mtime, reverse=True):
            with suppress(UserError):  # It is only compared with; a damaged one says nothing.
                found = read_manifest(result)
                if found is not None:
                    yield found

    def publish(self, stage: str, fingerprint: str, manifest: Manifest) -> Path:
        """Make a complete partial folder the result, by one rename, instead of an older result.

        All of it is on the disk before it gets its name, and its name is before anything is removed: a loss of power at any
        moment leaves the older result, under its name or the one that sets it aside, or the new one.

        Raises:
            OSError: the disk refuses, or lost something that was written before.
        """
        partial, result = self.partial(stage, fingerprint), self.result(stage, fingerprint)
        contents = Contents.of(partial)
        contents.write(partial)
        replace(manifest, contents=contents.digest).write(partial)
        flush_tree(partial)
        aside = self._set_aside(result)
        if result.exists():
            shutil.rmtree(aside, ignore_errors=True)
            rename_durably(result, aside)
        rename_durably(partial, result)
        for folder in (self.folder, self.root, self.root.absolute().parent):  # They may be new, too.
            flush(folder)
        shutil.rmtree(aside, ignore_errors=True)
        return result

    def damage_of(self, stage: str, folder: Path, *, read_all: bool = False) -> str | None:
        """Say what is wrong with a result; None if nothing is, or if there is none.

        stage: that made it. read_all: whether to compare the content of all files, not only which there are and how large they
        are.
        """
        try:
            manifest = read_manifest(folder)
        except DamagedResultError as error:
            return str(error)
        if manifest is None:
            return f"{MANIFEST} is gone" if folder.exists() else None
        if manifest.stage != stage:
            return f"{MANIFEST} is that of stage {manifest.stage}"
        return (damage if read_all else damage_at_a_glance)(folder, manifest.contents)

    def start_over(self, stage: str, fingerprint: str) -> None:
        """Remove unfinished work. Its new folder says, beside a result, that the result is being made again."""
        partial = self.partial(stage, fingerprint)
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)

    def is_unfinished(self, stage: str, fingerprint: str) -> bool:
        """Return whether there is unfinished work of a stage, more than an empty folder."""
        partial = self.partial(stage, fingerprint)
        return partial.is_dir() and any(partial.iterdir())

    def is_in_place(self, stage: str, fingerprint: str) -> bool:
        """Return whether the result of a stage, if there is one, is where it belongs."""
        return self.own(stage, fingerprint) == self.result(stage, fingerprint)

    def put_back(self, stage: str, fingerprint: str) -> None:
        """Give a result its name again that a killed run had set aside for a new one, without which the run ended."""
        if not self.is_in_place(stage, fingerprint):
            rename_durably(self.own(stage, fingerprint), self.result(stage, fingerprint))

    def set_work_aside(self, stage: str, fingerprint: str) -> Path | None:
        """Rename unfinished work, if there is any, so that no run resumes it, and return where it is. Older such work goes."""
        partial = self.partial(stage, fingerprint)
        if not partial.is_dir():
            return None
        aside = partial.with_name(f".{fingerprint}{CHANGED_DATA}")
        shutil.rmtree(aside, ignore_errors=True)
        return partial.rename(aside)

    @staticmethod
    def _set_aside(result: Path) -> Path:
        return result.with_name(f".{result.name}{REPLACED}")

    def lock_file(self, fingerprint: str) -> Path:
        """Return the file by which a result is locked, for all experiments of the storage: none makes what another makes."""
        return lock_file(self.root, fingerprint)
