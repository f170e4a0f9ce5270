"""Records the trials of a sweep: their values, short names, and how far each is. Each trial has a file, so that an interrupted
sweep resumes without repeating any."""

from __future__ import annotations

import hashlib
import itertools
import json
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from workflows.results.atomic import write_atomically
from workflows.spec.sweep import Draw, SweepSection, Values

TRIAL_FILE = "trial.json"
LONGEST_NAME = 48
STREAM_TRIALS = 100  # This number identifies the random stream of trials; the streams of batches have smaller numbers.
State = Literal["waiting", "running", "finished", "stopped", "failed", "lost"]
DONE: tuple[State, ...] = ("finished", "stopped")


@dataclass
class Trial:
    """One trial.

    parameters: values of fields of the stage. state: 'stopped' if a scheduler ended it early, 'failed' by a mistake of its own,
    which it would make again, 'lost' by anything else. reason: why it failed or was lost. number: in Optuna's study. identity:
    digest of everything that decides its result. taken_from: the folder of an earlier sweep's result, which ran it. best_step:
    the step that counted there.
    """

    name: str
    parameters: dict[str, Any]
    state: State = "waiting"
    reason: str = ""
    number: int | None = None
    identity: str = ""
    taken_from: str = ""
    best_step: int = 0


@dataclass
class TrialBook:
    """All trials of a sweep, in order, saved in `<folder>/<name>/trial.json`."""

    folder: Path
    trials: list[Trial] = field(default_factory=list)

    @classmethod
    def read(cls, folder: Path) -> TrialBook:
        """Read what an earlier invocation left. Trials that it did not finish wait again, with their values.

        As long as trials are missing because they were lost, those that failed by their own mistake stay failed: repeating them
        may take hours.
        """
        book = cls(folder)
        for path in sorted(folder.glob(f"*/{TRIAL_FILE}"), key=lambda path: (path.stat().st_mtime_ns, path)):
            trial = _read(path)
            if trial is not None:
                book.trials.append(trial)
        book.trials.sort(key=lambda trial: -1 if trial.number is None else trial.number)
        kept = (*DONE, "failed") if any(trial.state == "lost" for trial in book.trials) else DONE
        for trial in book.trials:
            if trial.state not in kept:
                trial.state, trial.reason = "waiting", ""
        return book

    def folder_of(self, trial: Trial) -> Path:
        """Return where a trial writes its progress."""
        return self.folder / trial.name

    def add(self, parameters: Mapping[str, Any], number: int | None = None) -> Trial:
        """Return the trial with these values: a new one, unless the book has it."""
        plain = json.loads(json.dumps(dict(parameters)))
        known = next((trial for trial in self.trials if trial.parameters == plain and trial.number == number), None)
        if known is not None:
            return known
        trial = Trial(_free_name(plain, {trial.name for trial in self.trials}), plain, number=number)
        shutil.rmtree(self.folder_of(trial), ignore_errors=True)  # A damaged trial.json may have left it.
        self.trials.append(trial)
        self.write(trial)
        return trial

    def begin_with(self, trials: Sequence[Trial]) -> None:
        """Put some of its trials first, in their order: their files were written as each ended."""
        self.trials[:] = [*trials, *(trial for trial in self.trials if trial not in trials)]

    def set(self, trial: Trial, state: State, reason: str = "") -> None:
        """Save how far a trial is."""
        trial.state, trial.reason = state, reason
        self.write(trial)

    def write(self, trial: Trial) -> None:
        """Save a trial."""
        self.folder_of(trial).mkdir(parents=True, exist_ok=True)
        write_atomically(self.folder_of(trial) / TRIAL_FILE, json.dumps(vars(trial), indent=1) + "\n")

    def named(self, name: str) -> Trial:
        """Find a trial by its name."""
        return next(trial for trial in self.trials if trial.name == name)

    @property
    def waiting(self) -> list[Trial]:
        """Return trials that are still to be run."""
        return [trial for trial in self.trials if trial.state == "waiting"]

    @property
    def failed(self) -> list[Trial]:
        """Return trials that ended by their own mistake."""
        return [trial for trial in self.trials if trial.state == "failed"]

    @property
    def done(self) -> list[Trial]:
        """Return trials that ran to their end, or to where a scheduler stopped them."""
        return [trial for trial in self.trials if trial.state in DONE]


def _read(path: Path) -> Trial | None:
    try:
        trial = Trial(**json.loads(path.read_text(encoding="utf-8")))
    except (ValueError, TypeError):
        return None
    return trial if trial.name == path.parent.name else None


# -- values -----------------------------------------------------------------------------------------------------------


def planned(sweep: SweepSection, seed: int) -> Iterator[dict[str, Any]]:
    """Yield the values of all trials of a sweep that knows them beforehand: those of a grid, or those drawn by the seed."""
    if sweep.search == "grid":
        for combination in itertools.product(*sweep.fields.values()):
            yield dict(zip(sweep.fields, combination, strict=True))
        return
    from cosa.data.batches import random_stream

    assert sweep.search == "random"
    assert sweep.trials is not None
    for index in range(sweep.trials):
        generator = random_stream(seed, STREAM_TRIALS, index)
        yield {name: _drawn(values, generator) for name, values in sweep.fields.items()}


def _drawn(values: Values, generator: Any) -> Any:
    if isinstance(values, tuple):
        return values[int(generator.integers(len(values)))]
    if values.integers is not None:
        return int(generator.integers(*values.integers, endpoint=True))
    if values.uniform is not None:
        return short(float(generator.uniform(*values.uniform)))
    assert values.loguniform is not None
    low, high = values.loguniform
    return short(min(high, max(low, low * (high / low) ** float(generator.random()))))


def short(value: float) -> float:
    """Round to four digits, which are exact enough for a hyper-parameter and easy to read and type."""
    return float(f"{value:.4g}")


def is_logarithmic(name: str, values: Values) -> bool:
    """Return whether a field is better shown on a logarithmic axis."""
    if isinstance(values, Draw):
        return values.loguniform is not None
    numbers = [v for v in values if isinstance(v, int | float) and not isinstance(v, bool)]
    return len(numbers) == len(values) and min(numbers) > 0 and (name.endswith("rate") or max(numbers) >= 20 * min(numbers))


# -- names ------------------------------------------------------------------------------------------------------------


def trial_name(parameters: Mapping[str, Any]) -> str:
    """Make the short name of a trial, for folders and tables: lr-0.0003, or lr-0.0003_wd-0.01."""
    shorts = short_fields(list(parameters))
    name = "_".join(f"{shorts[key]}-{_as_text(value)}" for key, value in parameters.items())
    if len(name) <= LONGEST_NAME:
        return name
    digest = hashlib.sha256(json.dumps(parameters, sort_keys=True).encode()).hexdigest()[:8]
    return f"{name[: LONGEST_NAME - 9].rstrip('_-.')}_{digest}"


def short_fields(fields: Sequence[str]) -> dict[str, str]:
    """Shorten learning_rate to lr and leave epochs; names are full where two would be the same."""
    shorts = {name: "".join(word[0] for word in name.split("_")) if "_" in name else name for name in fields}
    twice = {text for text in shorts.values() if list(shorts.values()).count(text) > 1}
    return {name: name if text in twice else text for name, text in shorts.items()}


def _as_text(value: Any) -> str:
    text = repr(value) if isinstance(value, float) else value if isinstance(value, str) else json.dumps(value)
    return re.sub(r"[^A-Za-z0-9.+-]+", "-", text).strip("-.") or "none"


def _free_name(parameters: Mapping[str, Any], taken: set[str]) -> str:
    name = trial_name(parameters)
    names = itertools.chain([name], (f"{name}_{number}" for number in itertools.count(2)))
    return next(candidate for candidate in names if candidate not in taken)
