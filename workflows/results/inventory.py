"""Lists the results in a storage folder, and says which of them were made from which, and which are current."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any

from workflows.results.current import Current
from workflows.results.layout import PARTIAL, REPLACED
from workflows.results.manifest import DamagedResultError, Manifest, read_manifest
from workflows.results.storage import Storage, complete

RESULTS = "[!.]*/[!.]*/*"  # where results are in a storage folder


@dataclass(frozen=True)
class StoredResult:
    """A complete result. manifest: None if it cannot be read. damage: what is wrong with the result; empty if nothing is."""

    folder: Path
    manifest: Manifest | None
    damage: str = ""

    @classmethod
    def at(cls, folder: Path) -> StoredResult:
        """Read a result, as far as it is intact at a glance."""
        experiment, stage = folder.absolute().parts[-3:-1]
        damage = Storage(folder.absolute().parents[2], experiment).damage_of(stage, folder) or ""
        try:
            return cls(folder, read_manifest(folder), damage)
        except DamagedResultError as error:
            return cls(folder, None, damage or str(error))

    @property
    def experiment(self) -> str:
        """Return the experiment in whose folder it is."""
        return self.folder.absolute().parts[-3]

    @property
    def stage(self) -> str:
        """Return the stage in whose folder it is."""
        return self.folder.absolute().parts[-2]

    @property
    def name(self) -> str:
        """Return what a person calls it."""
        return f"{self.experiment}/{self.stage}"

    @property
    def fingerprint(self) -> str:
        """Return the fingerprint, which its folder is called by, also one that was set aside."""
        return self.folder.name.removeprefix(".").removesuffix(REPLACED).removesuffix(PARTIAL)

    @property
    def started(self) -> float:
        """Return when it was started, in seconds since the epoch; of one that does not say it, when it was written."""
        if self.manifest is not None and self.manifest.started:
            return datetime.fromisoformat(self.manifest.started).timestamp()
        return self.folder.stat().st_mtime

    @property
    def ended(self) -> float:
        """Return when it was complete, in seconds since the epoch."""
        return self.started + (self.manifest.seconds if self.manifest is not None else 0.0)


@dataclass(frozen=True)
class Inventory:
    """All results of a storage folder, by experiment and stage, the oldest first. noted: what runs say is current."""

    root: Path
    results: tuple[StoredResult, ...]
    noted: Mapping[str, Current] = field(default_factory=dict)

    @classmethod
    def of(cls, root: Path) -> Inventory:
        """Read all manifests in a storage folder."""
        found = [StoredResult.at(folder) for folder in complete(root.glob(RESULTS))]
        found.sort(key=lambda one: (one.experiment, one.stage, one.started, one.fingerprint))
        experiments = dict.fromkeys(folder.name for folder in sorted(root.glob("[!.]*")) if folder.is_dir())
        return cls(root, tuple(found), {name: Current.read(root / name) for name in experiments})

    @property
    def experiments(self) -> dict[str, list[str]]:
        """Return the stages of every experiment that has results, in the order in which their first results were made."""
        stages: dict[str, dict[str, None]] = {}
        for one in sorted(self.results, key=lambda one: one.started):
            stages.setdefault(one.experiment, {})[one.stage] = None
        for experiment, current in self.noted.items():
            for stage, fingerprints in current.results.items():
                if any(fingerprint in self.by_fingerprint for fingerprint in fingerprints):
                    stages.setdefault(experiment, {}).setdefault(stage)
        return {name: list(stages[name]) for name in sorted(stages)}

    @cached_property
    def by_fingerprint(self) -> dict[str, list[StoredResult]]:
        """Return all results by fingerprint; two experiments may hold the same."""
        found: dict[str, list[StoredResult]] = {}
        for one in self.results:
            found.setdefault(one.fingerprint, []).append(one)
        return found

    def of_stage(self, experiment: str, stage: str) -> list[StoredResult]:
        """Return all results of a stage, the oldest first."""
        return [one for one in self.results if (one.experiment, one.stage) == (experiment, stage)]

    def current(self, experiment: str, stage: str) -> list[StoredResult]:
        """Return the results of a stage that the newest complete run uses, another experiment's included, the last one first.

        Where no run has noted that, or where these are gone, it is the newest one.
        """
        noted = self.noted.get(experiment, Current()).results.get(stage, ())
        found = [self._preferred(fingerprint, experiment) for fingerprint in noted if fingerprint in self.by_fingerprint]
        return found or self.of_stage(experiment, stage)[-1:]

    def may_become_current(self, result: StoredResult) -> bool:
        """Return whether a result is newer than what runs say is current: a run that came to no end may have made it."""
        noted = self.noted.get(result.experiment, Current())
        is_noted = any(fingerprint in self.by_fingerprint for fingerprint in noted.results.get(result.stage, ()))
        return not is_noted or result.ended > noted.noted

    def is_current(self, result: StoredResult) -> bool:
        """Return whether a result is one of the current ones of its stage, or of another experiment that uses it."""
        used = any(result.fingerprint in found for noted in self.noted.values() for found in noted.results.values())
        return used or result in self.current(result.experiment, result.stage)

    def inputs_of(self, result: StoredResult) -> dict[str, list[StoredResult]]:
        """Return the results that one was made from, by the names of their stages; none where they are gone."""
        inputs = result.manifest.inputs if result.manifest is not None else {}
        return {name: self.by_fingerprint.get(fingerprint, []) for name, fingerprint in inputs.items()}

    def users_of(self, result: StoredResult) -> list[StoredResult]:
        """Return the results that were made from one."""
        return [one for one in self.results if result.fingerprint in self.needs(one)]

    def needs(self, result: StoredResult) -> set[str]:
        """Return the fingerprints of all that a result was made from directly, also of results that its section names by a
        path."""
        if result.manifest is None:
            return set()
        paths = (Path(text).expanduser() for text in _texts(result.manifest.section) if "/" in text)
        return {*result.manifest.inputs.values(), *(found for path in paths if (found := self._named_by(path)) is not None)}

    def needed_by(self, roots: Iterable[StoredResult]) -> set[str]:
        """Return the fingerprints of some results and of everything that they were made from."""
        waiting, needed = [*roots], set()
        while waiting:
            one = waiting.pop()
            if one.folder not in needed:
                needed.add(one.folder)
                waiting += [made for found in self.needs(one) for made in self.by_fingerprint.get(found, ())]
        return {one.fingerprint for one in self.results if one.folder in needed}

    def _named_by(self, path: Path) -> str | None:
        """Return the fingerprint of the result in which a path lies; None if it lies in none of this storage."""
        root, path = self.root.resolve(), path.resolve()
        parts = path.relative_to(root).parts if path.is_relative_to(root) else ()
        return parts[2] if len(parts) > 2 and parts[2] in self.by_fingerprint else None

    def _preferred(self, fingerprint: str, experiment: str) -> StoredResult:
        """Return a result by its fingerprint: that of an experiment, if both it and another one have it."""
        found = self.by_fingerprint[fingerprint]
        return next((one for one in found if one.experiment == experiment), found[0])


def _texts(value: Any) -> Iterator[str]:
    """Yield all texts in data."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for one in value.values():
            yield from _texts(one)
    elif isinstance(value, list | tuple):
        for one in value:
            yield from _texts(one)
