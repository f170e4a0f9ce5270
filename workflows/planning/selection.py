"""Selects stages of an experiment by --from, --until and --only."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from workflows.spec.experiment import Experiment
from workflows.spec.problems import UsageError, did_you_mean


@dataclass(frozen=True)
class Selection:
    """Names of stages, as given. first: these and all that build on them. until: these and all they need. only: just these.

    If several are given, a stage is selected only if all of them select it.
    """

    first: tuple[str, ...] = ()
    until: tuple[str, ...] = ()
    only: tuple[str, ...] = ()

    @classmethod
    def of(cls, first: list[str] | None, until: list[str] | None, only: list[str] | None) -> Selection:
        """Make a selection from lists of the command line, which are None where an option is not given."""
        return cls(tuple(first or ()), tuple(until or ()), tuple(only or ()))

    def stages(self, experiment: Experiment) -> frozenset[str]:
        """Return the selected stages.

        Raises:
            UsageError: there is no stage of a given name, or no stage is selected.
        """
        chosen = set(experiment.stages)
        for option, given, reach in (
            ("--from", self.first, building_on),
            ("--until", self.until, needed_for),
            ("--only", self.only, lambda _, names: set(names)),
        ):
            names = experiment.stages_named(given)
            check_names(option, names, experiment)
            if names:
                chosen &= reach(experiment, names)
        if not chosen:
            raise UsageError(
                f"no stage is selected by all of {self.as_options()}; the stages are {', '.join(experiment.stages)}"
            )
        return frozenset(chosen)

    def as_options(self) -> str:
        """Write the selection as on the command line."""
        return " ".join(self.arguments())

    def arguments(self) -> list[str]:
        """Return the words of the selection on the command line."""
        given = (("--from", self.first), ("--until", self.until), ("--only", self.only))
        return [word for option, names in given for name in names for word in (option, name)]


EVERYTHING = Selection()


def check_names(option: str, names: Iterable[str], experiment: Experiment) -> None:
    """Raise UsageError if an option names a stage that does not exist."""
    for name in names:
        if name not in experiment.stages:
            raise UsageError(f"{option}: no stage {name!r}{did_you_mean(name, experiment.stages)}")


def building_on(experiment: Experiment, names: Collection[str]) -> set[str]:
    """Return these stages and all that read their results, directly or indirectly."""
    found = set(names)
    for stage in experiment.stages:  # They are in an order in which they can run.
        if found.intersection(experiment.inputs[stage]):
            found.add(stage)
    return found


def needed_for(experiment: Experiment, names: Collection[str]) -> set[str]:
    """Return these stages and all whose results they read, directly or indirectly."""
    found = set(names)
    for stage in reversed(list(experiment.stages)):
        if stage in found:
            found.update(experiment.inputs[stage])
    return found
