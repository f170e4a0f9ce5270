"""Describes the shards of a dataset as something that stages read."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import xxhash

from cosa.data.shards.paths import is_remote, is_wildcard, shard_paths, without_options
from workflows.spec.place import FieldPath
from workflows.spec.problems import did_you_mean
from workflows.spec.read import Basis, Connections, Digests, Found, Missing, Read
from workflows.spec.sections import DatasetSection, ExperimentSection, SplitSection


@dataclass(frozen=True)
class ShardsRead(Read):
    """All shards of a split. field: of the dataset's or the split's name, below the stage."""

    field: FieldPath
    dataset: str
    split: str

    def inputs(self, connections: Connections, stage: str) -> Iterator[str]:
        """Yield the stage that makes the dataset."""
        dataset = connections.dataset(self.dataset, ("stages", stage, *self.field))
        if dataset is None:
            return
        if self.split not in dataset.splits:
            known = did_you_mean(self.split, dataset.splits)
            connections.report(f"dataset {self.dataset!r} has no split {self.split!r}{known}", "stages", stage, *self.field)
        if dataset.made_by is not None and connections.has_stage(dataset.made_by):
            yield dataset.made_by

    def digests(self, experiment: ExperimentSection, stage: str, digests: Digests) -> Iterator[Found | Missing]:
        """Digest the contents of the shards."""
        del stage
        dataset = experiment.datasets[self.dataset]
        if dataset.made_by is not None:
            return
        split = dataset.splits[self.split]
        paths = shard_paths(split.shards)
        contents = contents_of(paths, digests)
        absent = [path for path, content in zip(paths, contents, strict=True) if content is None]
        if absent:
            field = f"datasets.{self.dataset}.splits.{self.split}.shards"
            yield Missing(field, Path(without_options(absent[0])), _wanted(absent, len(paths)))
        else:
            amount = f"{len(paths)} shard{'s' if len(paths) > 1 else ''}"
            digest = digest_of_shards(paths, digests)
            yield Found(f"{self.dataset}/{self.split}/shards", digest, ", ".join(map(without_options, split.shards)), amount)

    def identity(self, basis: Basis) -> Any:
        """Return the contents in their order, or which stage makes them, and what decides which samples can be used."""
        dataset = basis.experiment.datasets[self.dataset]
        bounds = {"media": dataset.media, **dataset.media_bounds}
        return {"field": self.field, "split": self.split, **bounds, **content_of(basis, self.dataset, self.split)}

    def named_in(self, experiment: ExperimentSection) -> Iterator[FieldPath]:
        """Yield the field of the name."""
        del experiment
        yield ("section", *self.field)

    def paths(self, experiment: ExperimentSection) -> Iterator[Path]:
        """Yield the folders that the shards are in."""
        dataset = experiment.datasets[self.dataset]
        if dataset.made_by is None:
            local = [path for path in dataset.splits[self.split].shards if not is_remote(path)]
            yield from dict.fromkeys(Path(path).parent for path in shard_paths(local))


def content_of(basis: Basis, dataset: str, split: str) -> dict[str, Any]:
    """Return what the shards of a split contain, as data that JSON can hold."""
    section = basis.experiment.datasets[dataset]
    shards = section.splits[split].shards
    if section.made_by is not None:
        return {"made": basis.result(section.made_by), "shards": shards}
    return {"content": digest_of_shards(shard_paths(shards), basis.digests)}


def digest_of_shards(paths: list[str], digests: Digests) -> str:
    """Return the digest of the contents of shards, in their order."""
    return xxhash.xxh3_128_hexdigest(" ".join(map(str, contents_of(paths, digests))).encode())


def contents_of(paths: list[str], digests: Digests) -> list[str | None]:
    """Return what is known of the contents of shards; None for one that does not exist.

    It is the digest of a file, and size and time of one in a bucket, which would have to be fetched to be read.
    """
    remote = [path for path in paths if is_remote(path)]
    found: dict[str, str | None] = {}
    if remote:
        from cosa.data.shards.bucket import states

        found = {path: f"{state}" if state is not None else None for path, state in zip(remote, states(remote), strict=True)}
    local = [path for path in paths if not is_remote(path) and Path(path).is_file()]
    found |= dict(zip(local, digests.checksums([Path(path) for path in local]), strict=True))
    return [found.get(path) for path in paths]


def has_shards(dataset: DatasetSection, split: str) -> bool:
    """Return whether a split is read from shards."""
    return bool(dataset.splits.get(split, SplitSection()).shards)


def _wanted(absent: list[str], count: int) -> str:
    """Return what is missing, in words before the path of the first."""
    if is_wildcard(absent[0]):
        return "shard fits"
    return "shard" if count == 1 else f"shard ({len(absent)} of {count} are missing)"
