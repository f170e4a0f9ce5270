"""Declares the `sweep:` section of a training stage: which fields are tried with which values, and how they are searched."""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, PositiveInt, ValidationError, model_validator

from cosa.section import Section, no_effect
from workflows.spec.problems import did_you_mean

# These fields are the same for all trials, because they decide which data a stage reads, or how its trials are compared.
NOT_SWEPT = (
    "kind", "description", "matrix", "task", "dataset", "train_split", "validation_split", "init_from", "sweep", "workers",
    "register_as", "profile", "seed",
)  # fmt: skip
MOST_IN_GRID = 1000  # Trials of more combinations than this are drawn.
MOST_DRAWN = 10_000  # Each has a folder and a run in MLflow.


class Draw(Section):
    """A range from which values are drawn. Exactly one of its fields is set."""

    uniform: tuple[float, float] | None = Field(None, description="low and high of real numbers")
    loguniform: tuple[Annotated[float, Field(gt=0)], float] | None = Field(
        None, description="low and high of real numbers whose logarithms are uniform"
    )
    integers: tuple[int, int] | None = Field(None, description="lowest and highest of the integers")

    @model_validator(mode="after")
    def _one_range(self) -> Draw:
        given = [(name, ends) for name, ends in self if ends is not None]
        if len(given) != 1:
            raise ValueError("expected one of uniform, loguniform, integers, such as {loguniform: [1e-5, 1e-3]}")
        if given[0][1][0] >= given[0][1][1]:
            raise ValueError(f"{given[0][0]}: expected the lower end first, got {list(given[0][1])}")
        return self

    @property
    def ends(self) -> tuple[Any, Any]:
        """Return the lowest and the highest value."""
        found = self.uniform or self.loguniform or self.integers
        assert found is not None
        return found

    @property
    def examples(self) -> tuple[Any, ...]:
        """Return both ends and, of real numbers, one between them with a fraction, which fields of integers refuse."""
        low, high = self.ends
        return self.ends if self.integers is not None else (low, high, _with_fraction(low, high))


def _with_fraction(low: float, high: float) -> float:
    middle = low + (high - low) / 2
    return middle if middle % 1 else middle + min(0.5, (high - low) / 4)


Values = tuple[Any, ...] | Draw


class SweepSection(Section):
    """Try several values of fields with Ray Tune; the best trial's checkpoint is the stage's result.

    Any other key is a field of the stage, with a list of values, as in learning_rate: [1e-5, 3e-5], or with a range from which
    values are drawn, as in learning_rate: {loguniform: [1e-6, 1e-4]}.
    """

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, Values]

    search: Literal["grid", "random", "optuna"] = Field(
        "grid", description="grid: all combinations; random: drawn by the seed; optuna: drawn with regard to earlier trials"
    )
    trials: PositiveInt | None = Field(
        None, le=MOST_DRAWN, description="how many are drawn; a grid has one for every combination"
    )
    metric: str | None = Field(
        None, description="metric that decides; left out: the task's main metric, or in pretraining mean_loss"
    )
    mode: Literal["max", "min"] = Field("max", description="whether higher or lower is better; it follows from the metric")
    scheduler: Literal["none", "asha"] = Field("none", description="asha stops bad trials early, after each validation")
    max_concurrent: PositiveInt | None = no_effect(
        default=None, description="trials at once; left out: as many as the resources allow"
    )

    @property
    def fields(self) -> Mapping[str, Values]:
        """Return the values to try, by field."""
        return self.__pydantic_extra__

    @property
    def count(self) -> int:
        """Return how many trials there are."""
        return self.trials or math.prod(len(values) for values in self.fields.values() if isinstance(values, tuple))

    @model_validator(mode="after")
    def _searchable(self) -> SweepSection:
        if not self.fields:
            raise ValueError("expected a field of the stage with values to try, such as learning_rate: [1e-5, 3e-5]")
        for name, values in self.fields.items():
            if isinstance(values, Draw) and self.search == "grid":
                raise ValueError(f"{name}: a grid needs a list of values; a range needs search: random or optuna, and trials")
            if isinstance(values, tuple):
                _check_list(name, values)
        if (self.search == "grid") == (self.trials is not None):
            what = "leave it out: a grid has one for every combination" if self.trials else "set how many are drawn"
            raise ValueError(f"trials: {what}")
        if self.search == "grid":
            _check_grid(self.count)
        return self


def _check_list(name: str, values: tuple[Any, ...]) -> None:
    if not values:
        raise ValueError(f"{name}: expected at least one value")
    written = [json.dumps(value, sort_keys=True, default=str) for value in values]
    if len(set(written)) != len(written):
        raise ValueError(f"{name}: the same value is listed twice")


def _check_grid(count: int) -> None:
    if count > MOST_IN_GRID:
        shown = count if count < 10**15 else "far too many"
        raise ValueError(
            f"the grid has {shown} trials; at most {MOST_IN_GRID}: list fewer values, or draw combinations with "
            "search: random and trials: N"
        )


def sweep_with_effect(sweep: Mapping[str, Any]) -> dict[str, Any]:
    """Return what of a sweep affects its result. sweep: as data, maybe of an older result.

    All trials of a grid run to their end, if no scheduler stops them: in which order their values are listed decides nothing.
    """
    left = {name: value for name, value in sweep.items() if name != "max_concurrent"}
    if left.get("search") != "grid" or left.get("scheduler") != "none":
        return left
    swept = [name for name in left if name not in SweepSection.model_fields and isinstance(left[name], list | tuple)]
    return {**left, **{name: sorted(left[name], key=_size) for name in swept}}


def _size(value: Any) -> tuple[bool, float, str]:
    """Return a key that sorts numbers by size, and other values after them by what is written."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return not is_number, value if is_number else 0.0, json.dumps(value, sort_keys=True)


def check_sweep(stage: BaseModel, sweep: SweepSection, changes_loss: Collection[str]) -> None:
    """Raise ValueError unless every field of a sweep is a field of the stage that can be swept, and every value is valid.

    changes_loss: fields that cannot be swept, because trials are compared by their losses.
    """
    known = [name for name in type(stage).model_fields if name not in NOT_SWEPT]
    base = stage.model_dump(exclude={"sweep"})
    for name, values in sweep.fields.items():
        if name in NOT_SWEPT:
            raise ValueError(f"sweep.{name}: trials cannot differ in it; `matrix:` makes stages that can")
        if name in changes_loss:
            raise ValueError(
                f"sweep.{name}: losses of trials that differ in it cannot be compared; compare the evaluations that follow, "
                "with `cosa run-experiment --sweep`"
            )
        if name not in known:
            raise ValueError(f"sweep.{name}: no field of this stage{did_you_mean(name, [*known, *SweepSection.model_fields])}")
        for value in values.examples if isinstance(values, Draw) else values:
            try:
                type(stage).model_validate({**base, name: value})
            except ValidationError as error:
                message = error.errors()[0]["msg"].removeprefix("Value error, ")
                raise ValueError(f"sweep.{name}: {value!r} is not a valid value: {message}") from error
