"""Finds out which files of the user's own a stage reads, and whether they are still what they were."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from cosa.errors import UserError
from cosa.extensions import Extension, is_from_extension
from workflows.spec.experiment import Experiment
from workflows.spec.read import Digests, Missing
from workflows.spec.stage_kinds import kind_of

EXTENSION = "extension"  # how the names of extensions begin, among those of data


class ChangedDataError(UserError):
    """What a stage reads is not what its fingerprint says."""


def data_of(stage: str, experiment: Experiment, digests: Digests) -> tuple[dict[str, str], list[Missing]]:
    """Return digests of the user's own files that a stage reads, by a readable name, and what is missing of them."""
    section = experiment.stages[stage]
    kind = kind_of(section)
    data: dict[str, str] = {}
    missing: list[Missing] = []
    for read in kind.reads(section, experiment.section.datasets):
        for found in read.digests(experiment.section, stage, digests):
            if isinstance(found, Missing):
                missing.append(found)
            else:
                data[_distinct_name(data, *found)] = found[1]
    if kind.uses_extensions(section) or is_from_extension(kind):
        names = _file_names(experiment.extensions)
        data |= {f"{EXTENSION} {n}": e.digest for n, e in zip(names, experiment.extensions, strict=True)}
    return data, missing


def check_unchanged(stage: str, planned: Mapping[str, str], experiment: Experiment, digests: Digests, when: str) -> None:
    """Check that what a stage reads is what its fingerprint says.

    Args:
        stage: its name.
        planned: `data_of` when the plan was made.
        experiment: of the stage.
        digests: of what is there now.
        when: since when nothing may have changed, for the message.

    Raises:
        ChangedDataError: a file was changed or removed.
    """
    found, missing = data_of(stage, experiment, digests)
    changed = sorted(name for name in planned if found.get(name) != planned[name])
    if changed or missing:
        what = ", ".join(changed) or missing[0].short
        raise ChangedDataError(f"{what} changed {when}; run the same command again, which plans with what is there now")


def _distinct_name(data: Mapping[str, str], name: str, digest: str) -> str:
    """Return a name for what is read: its own, numbered where another thing that is read has the same."""
    number, free = 1, name
    while data.get(free, digest) != digest:
        number += 1
        free = f"{name} ({number})"
    return free


def _file_names(extensions: Sequence[Extension]) -> list[str]:
    """Return a name for every file: its own, numbered where several files have the same."""
    names = [Path(extension.file).name for extension in extensions]
    return [name if names.count(name) == 1 else f"{name} ({names[: i + 1].count(name)})" for i, name in enumerate(names)]
