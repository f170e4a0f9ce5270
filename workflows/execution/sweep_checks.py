"""Checks a sweep beyond its own fields: whether its trials can be compared, and whether each can run."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable, Mapping
from typing import Any, Protocol

from pydantic import ValidationError

from cosa.evaluation.metric import Metric
from workflows.spec.problems import did_you_mean
from workflows.spec.read import Read
from workflows.spec.reads import AnnotationsRead
from workflows.spec.sections import DatasetSection
from workflows.spec.stage_kind import Report
from workflows.spec.sweep import Draw, SweepSection

MOST_TRIALS_CHECKED = 1000  # More would delay the display of a plan by a second.


class Sweepable(Protocol):
    """What is asked of a kind of stage that trains (`TrainingKind`); `section` is one of its own."""

    def measured(self, section: Any) -> tuple[Metric, ...]:
        """Return what is known at the stops of a training."""
        ...

    def why_not_measured(self, metric: str, section: Any) -> str | None:
        """Say how to get a metric that is not measured, if a setting gives it."""
        ...

    def learns(self, section: Any) -> str:
        """Return what it learns, for messages."""
        ...

    def reads(self, section: Any, datasets: Mapping[str, DatasetSection]) -> Iterable[Read]:
        """Yield everything that it reads."""
        ...

    def check(self, name: str, section: Any, datasets: Mapping[str, DatasetSection], report: Report) -> None:
        """Report fields that do not go together."""
        ...


def check_sweep_section(kind: Sweepable, name: str, stage: Any, sweep: SweepSection, report: Report) -> None:
    """Report what prevents trials from being compared."""
    where = ("stages", name, "sweep")
    if sweep.scheduler == "asha" and 0 < stage.evaluations_per_run < 2:
        report(
            f"asha stops bad trials at validations before the last one; set stages.{name}.evaluations_per_run >= 2",
            *where, "scheduler",
        )  # fmt: skip
    swept = sweep.fields.get("evaluations_per_run")
    if swept is not None and sweep.scheduler == "asha":
        report("asha compares trials after equally many validations; leave it out of the sweep", *where, "evaluations_per_run")
    counts = (stage.evaluations_per_run,) if swept is None else swept.ends if isinstance(swept, Draw) else swept
    if min(counts) < 1:
        report(f"trials are compared by their validations; set stages.{name}.evaluations_per_run >= 1", *where)
    _check_metric(kind, stage, sweep, where, report)


def _check_metric(kind: Sweepable, stage: Any, sweep: SweepSection, where: tuple[str, ...], report: Report) -> None:
    measured = {metric.name: metric for metric in kind.measured(stage)}
    name = sweep.metric or next(iter(measured))
    if name not in measured:
        because = kind.why_not_measured(name, stage)
        unknown = f"validation of {kind.learns(stage)} computes no metric {name!r}{did_you_mean(name, measured)}"
        report(because or unknown, *where, "metric")
    elif sweep.mode != measured[name].mode and (sweep.mode == "min" or "mode" in sweep.model_fields_set):
        best = "lowest" if measured[name].lower_is_better else "highest"
        report(f"the best {name} is the {best} one; write mode: {measured[name].mode}", *where, "mode")


def check_trials(
    kind: Sweepable,
    name: str,
    stage: Any,
    sweep: SweepSection,
    datasets: Mapping[str, DatasetSection],
    report: Report,
) -> None:
    """Report values of a sweep that cannot be combined with the rest of the stage, before hours are spent on other trials."""
    known: set[str] = set()  # These messages are reported for the stage itself, or for earlier trials.
    base = stage.model_copy(update={"sweep": None})
    kind.check(name, base, datasets, lambda message, *_: known.add(message))
    choices = [values.examples if isinstance(values, Draw) else values for values in sweep.fields.values()]
    for combination in itertools.islice(itertools.product(*choices), MOST_TRIALS_CHECKED):
        values = dict(zip(sweep.fields, combination, strict=True))

        def report_once(message: str, *path: str | int, values: Mapping[str, Any] = values) -> None:
            if message not in known:
                known.add(message)
                given = ", ".join(f"{field}: {json.dumps(value)}" for field, value in values.items())
                report(f"a trial with {given}: {path[-1]}: {message}", "stages", name, "sweep")

        try:
            trial = type(stage).model_validate({**base.model_dump(), **values})
        except ValidationError as error:
            report_once(error.errors()[0]["msg"].removeprefix("Value error, "), "sweep")
        else:
            kind.check(name, trial, datasets, report_once)
            if _read_by(kind, trial, datasets) != _read_by(kind, base, datasets):
                report_once("it would read other data than the stage, which trials cannot; leave the field out", "sweep")


def _read_by(kind: Sweepable, stage: Any, datasets: Mapping[str, DatasetSection]) -> list[Any]:
    """Return what a trial reads, but for how much of an annotation file it needs, which may differ."""
    return [
        (read.dataset, read.use.split, read.use.kind) if isinstance(read, AnnotationsRead) else read
        for read in kind.reads(stage, datasets)
    ]
