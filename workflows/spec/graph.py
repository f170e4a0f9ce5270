"""Connects the stages of an experiment: looks up names, finds inputs, refuses cycles."""

from __future__ import annotations

import graphlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from workflows.spec.connections import NamedStages, Names
from workflows.spec.experiment import Experiment
from workflows.spec.hub_weights import check_hub_weights
from workflows.spec.images import check_images
from workflows.spec.lengths import check_lengths
from workflows.spec.paths import check_paths
from workflows.spec.problems import Problem
from workflows.spec.scaling import check_elastic
from workflows.spec.sections import ExperimentSection, StageSection
from workflows.spec.source import YamlNode
from workflows.spec.stage_kinds import kind_of


def connect(
    section: ExperimentSection,
    stages: dict[str, StageSection],
    names: Names,
    root: YamlNode,
    *,
    file: Path,
    problems: list[Problem],
) -> Experiment:
    """Look up all names and sort the stages.

    Problems are added to the list; the result can only be used if there are none.
    """

    def report(message: str, *path: str | int) -> None:
        origin = root.origin(path)  # A wrong value is one mistake, however many fields refer to it.
        node = root.at(origin)
        place = root.find(origin, of_key=node is not None and node.children is not None)
        problem = Problem(f"{'.'.join(map(str, origin))}: {message}", place)
        if problem not in problems:
            problems.append(problem)

    connections = NamedStages(section, stages, names, report)
    connections.check_datasets()
    for name, stage in stages.items():
        kind_of(stage).check(name, stage, section.datasets, report)
    if not check_paths(section, stages, report):
        return Experiment(section, stages, {}, file, {}, source=root)  # Inheriting reads files.
    inputs = {name: tuple(dict.fromkeys(_inputs_of(name, stage, connections))) for name, stage in stages.items()}
    order = _order(inputs, root, problems)
    resolved = {name: stages[name] for name in order if name in stages}
    for name, stage in resolved.items():
        resolved[name] = kind_of(stage).inherited(stage, section, resolved)
    connections = NamedStages(section, resolved, names, report)
    inherited = {name: tuple(dict.fromkeys(_inputs_of(name, stage, connections))) for name, stage in resolved.items()}
    if inputs != inputs | inherited:  # A field that was inherited names a stage or a dataset.
        inputs |= inherited
        resolved = {name: resolved[name] for name in _order(inputs, root, problems) if name in resolved}
    frames = {dataset: n for n, stage in resolved.items() if (dataset := kind_of(stage).frames_of(stage)) is not None}
    indexes = {dataset: n for n, stage in resolved.items() if (dataset := kind_of(stage).index_of(stage)) is not None}
    experiment = Experiment(section, resolved, inputs, file, frames, indexes, source=root)
    for name, stage in resolved.items():
        kind_of(stage).check_with_others(name, stage, experiment, report)
    check_lengths(resolved, section.model.text.max_position_embeddings, report)
    check_elastic(section.cluster, resolved, report)
    check_images(experiment, report)
    check_hub_weights(experiment, report)
    return replace(experiment, warnings=tuple(dict.fromkeys(_notes(experiment, root))))


def _inputs_of(name: str, stage: StageSection, connections: NamedStages) -> Iterator[str]:
    """Yield the stages whose results a stage reads."""
    for read in kind_of(stage).reads(stage, connections.section.datasets):
        yield from read.inputs(connections, name)


def _order(inputs: dict[str, tuple[str, ...]], root: YamlNode, problems: list[Problem]) -> list[str]:
    """Sort the stages into an order in which they can run."""
    try:
        return list(graphlib.TopologicalSorter(inputs).static_order())
    except graphlib.CycleError as error:
        cycle = list(reversed(error.args[1]))
        problems.append(Problem(f"stages form a cycle: {' -> '.join(cycle)}", root.find(("stages", cycle[0]), of_key=True)))
        return list(inputs)


def _notes(experiment: Experiment, root: YamlNode) -> Iterator[str]:
    """Yield warnings about what is allowed but worth knowing."""
    for name, stage in experiment.stages.items():
        yield from kind_of(stage).notes(name, stage, experiment)
    training = [name for name, stage in experiment.stages.items() if kind_of(stage).produces == "checkpoint"]
    builds = any(kind_of(stage).builds_model(stage) for stage in experiment.stages.values())
    if root.at(("model",)) is not None and not builds:
        why = f"{', '.join(training)} start from checkpoints" if training else "no stage trains"
        yield f"the model section is not used: {why}, and a checkpoint brings its own"
