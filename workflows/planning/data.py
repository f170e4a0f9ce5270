"""Finds out which files of the user's own a stage reads, and whether they are still what they were."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from cosa.errors import UserError
from cosa.extensions import Extension, is_from_extension
from workflows.spec.experiment import Experiment
from workflows.spec.read import Digests, Found, Missing
from workflows.spec.stage_kinds import kind_of

EXTENSION = "extension"  # how the names of extensions begin, among those of data


class ChangedDataError(UserError):
    """What a stage reads is not what its fingerprint says."""


def data_of(stage: str, experiment: Experiment, digests: Digests) -> tuple[dict[str, Found], list[Missing]]:
    """Return what a stage reads of the user's own, by a readable name, and what is missing of it."""
    section = experiment.stages[stage]
    kind = kind_of(section)
    data: dict[str, Found] = {}
    missing: list[Missing] = []
    for read in kind.reads(section, experiment.section.datasets):
        for found in read.digests(experiment.section, stage, digests):
            if isinstance(found, Missing):
                missing.append(found)
            else:
                data[_distinct_name(data, found)] = found
    if kind.uses_extensions(section) or is_from_extension(kind):
        names = _file_names(experiment.extensions)
        extensions = (Found(f"{EXTENSION} {n}", e.digest) for n, e in zip(names, experiment.extensions, strict=True))
        data |= {extension.name: extension for extension in extensions}
    return data, missing


def check_unchanged(stage: str, planned: Mapping[str, Found], experiment: Experiment, digests: Digests, when: str) -> None:
    """Check that what a stage reads is what its fingerprint says.

    Args:
        stage: its name.
        planned: `data_of`, when the plan was made.
        experiment: of the stage.
        digests: of what is there now.
        when: since when nothing may have changed, for the message.

    Raises:
        ChangedDataError: a file was changed or removed.
    """
    found, missing = data_of(stage, experiment, digests)
    changed = sorted(
        planned[name].place or name for name in planned if name not in found or found[name].digest != planned[name].digest
    )
    if changed or missing:
        what = ", ".join(changed) or missing[0].short
        raise ChangedDataError(f"{what} changed {when}; run the same command again, which plans with what is there now")


def _distinct_name(data: Mapping[str, Found], found: Found) -> str:
    """Return a name for what is read: its own, numbered where another thing that is read has the same."""
    number, free = 1, found.name
    while free in data and data[free].digest != found.digest:
        number += 1
        free = f"{found.name} ({number})"
    return free


def _file_names(extensions: Sequence[Extension]) -> list[str]:
    """Return a name for every file: its own, numbered where several files have the same."""
    names = [Path(extension.file).name for extension in extensions]
    return [name if names.count(name) == 1 else f"{name} ({names[: i + 1].count(name)})" for i, name in enumerate(names)]
