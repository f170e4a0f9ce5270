"""Plugs a sweep into Ray Tune: decides which trial comes next and which are stopped early, and reports how trials end."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from ray.tune import Callback
from ray.tune.schedulers import ASHAScheduler
from ray.tune.search import Searcher

from cosa.errors import UserError
from workflows.cluster.ray_private import remember_trials
from workflows.execution.trials import Trial, TrialBook, short
from workflows.spec.sweep import Draw, SweepSection, Values

EVALUATION = "evaluation"  # Workers report the number of the validation under this name, from 1.
STUDY_FILE = "study.log"


class TrialSource(Protocol):
    """Supplies trials one after the other."""

    def next(self) -> Trial | None:
        """Return the next trial; None when there are no more."""
        ...

    def reported(self, trial: Trial, value: float | None) -> None:
        """Take the result of a trial, None if it failed."""
        ...


class PlannedTrials:
    """Supplies trials whose values are known beforehand."""

    def __init__(self, trials: Sequence[Trial]):
        self._remaining = list(trials)

    def next(self) -> Trial | None:
        """Return the next trial."""
        return self._remaining.pop(0) if self._remaining else None

    def reported(self, trial: Trial, value: float | None) -> None:
        """Ignore the result, because no other trial depends on it."""


class StudyTrials:
    """Supplies trials that Optuna draws with regard to earlier ones. An interrupted sweep resumes from its study's file."""

    def __init__(self, sweep: SweepSection, book: TrialBook, seed: int):
        try:
            import optuna
        except ImportError as error:
            raise UserError("sweep.search: optuna needs the package optuna: pip install optuna") from error
        from optuna.storages.journal import JournalFileBackend

        optuna.logging.set_verbosity(optuna.logging.ERROR)
        assert sweep.trials is not None
        book.folder.mkdir(parents=True, exist_ok=True)
        self.book, self.wanted = book, sweep.trials
        self.ranges = {name: _distribution(values) for name, values in sweep.fields.items()}
        self.choices = {name: values for name, values in sweep.fields.items() if isinstance(values, tuple)}
        self.waiting = book.waiting
        # The seed depends on how many trials came before: a resumed sweep must not repeat the first draws.
        sampler = optuna.samplers.TPESampler(seed=seed + len(book.trials), n_startup_trials=min(10, max(2, self.wanted // 3)))
        self.study = optuna.create_study(
            storage=optuna.storages.JournalStorage(JournalFileBackend(str(book.folder / STUDY_FILE))),
            sampler=sampler,
            study_name="sweep",
            direction="maximize" if sweep.mode == "max" else "minimize",
            load_if_exists=True,
        )

    def next(self) -> Trial | None:
        """Return first the trials that were interrupted, then new ones."""
        if self.waiting:
            return self.waiting.pop(0)
        if len(self.book.trials) >= self.wanted:
            return None
        asked = self.study.ask(self.ranges)
        parameters = {
            name: self.choices[name][value] if name in self.choices else short(value) if isinstance(value, float) else value
            for name, value in asked.params.items()
        }
        return self.book.add(parameters, asked.number)

    def reported(self, trial: Trial, value: float | None) -> None:
        """Report the result to the study."""
        from optuna.trial import TrialState

        assert trial.number is not None
        if self.study.trials[trial.number].state.is_finished():
            return  # It failed in an earlier invocation.
        if value is None:
            self.study.tell(trial.number, state=TrialState.FAIL)
        else:
            self.study.tell(trial.number, value)


def _distribution(values: Values) -> Any:
    """Return Optuna's form of a list (by index, so that values can be of any type) or a range."""
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    if not isinstance(values, Draw):
        return CategoricalDistribution(list(range(len(values))))
    low, high = values.ends
    if values.integers is not None:
        return IntDistribution(low, high)
    return FloatDistribution(low, high, log=values.loguniform is not None)


class InDriver:
    """Lets Tune pickle and copy an object that has to stay in the driver. The pickle is empty, because it is never read."""

    def __getstate__(self) -> dict[str, Any]:
        return {}

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        return self


class TrialSearch(InDriver, Searcher):
    """Hands the trials of a source to Ray Tune. The trial book records which are done, not Tune's own files."""

    def __init__(self, source: TrialSource, value_of: Callable[[Trial], float | None], has_mistake: Callable[[Trial], bool]):
        """value_of: the result of a trial that has ended. has_mistake: whether a trial with an error made it itself."""
        super().__init__()
        self.source, self.value_of, self.has_mistake = source, value_of, has_mistake
        self.is_ending = False  # No further trial begins once this is set.
        self._trials: dict[str, Trial] = {}

    def suggest(self, trial_id: str) -> Any:
        """Return Tune's configuration of the next trial."""
        trial = None if self.is_ending else self.source.next()
        if trial is None:
            return Searcher.FINISHED
        self._trials[trial_id] = trial
        return {"trial": trial.name, "parameters": trial.parameters}

    def on_trial_complete(self, trial_id: str, *, error: bool = False, **_: Any) -> None:
        """Report the result of a trial that has ended, was stopped, or failed; one that was lost will run again."""
        trial = self._trials[trial_id]
        if not error or self.has_mistake(trial):
            self.source.reported(trial, None if error else self.value_of(trial))

    def set_search_properties(self, *_: Any, **__: Any) -> bool:
        """Ignore metric and mode, which are known already."""
        return True

    def save(self, checkpoint_path: str) -> None:
        """Write an empty file, since it is never restored: a sweep resumes from the trial book."""
        Path(checkpoint_path).touch()


class AshaWithHistory(ASHAScheduler):
    """Asynchronous successive halving (Li et al., 2018) that knows the trials of earlier invocations.

    Its time is the number of the validation, as workers report it, because a resumed trial must not start counting again.
    """

    def __init__(self, evaluations: int, mode: str, history: Mapping[str, Sequence[float]]):
        """history: the metric at every validation of earlier trials, by name."""
        super().__init__(time_attr=EVALUATION, max_t=evaluations, grace_period=1, reduction_factor=2)
        sign = 1 if mode == "max" else -1
        remember_trials(self, {name: [sign * value for value in values] for name, values in history.items()})


class TrialEnds(InDriver, Callback):
    """Calls functions of the driver when a trial begins, ends or fails."""

    def __init__(self, began: Callable[[str], None], ended: Callable[[str], None], failed: Callable[[str, str], None]):
        self.began, self.ended, self.failed = began, ended, failed

    def on_trial_start(self, *, trial: Any, **_: Any) -> None:
        """Report that Tune starts the trial."""
        self.began(trial.config["trial"])

    def on_trial_complete(self, *, trial: Any, **_: Any) -> None:
        """Report that the trial ended by itself, or that the scheduler stopped it."""
        self.ended(trial.config["trial"])

    def on_trial_error(self, *, trial: Any, **_: Any) -> None:
        """Report the last line of the error that the trial raised."""
        try:
            lines = Path(trial.error_file).read_text(encoding="utf-8").strip().splitlines()
        except (OSError, TypeError):
            lines = []
        self.failed(trial.config["trial"], lines[-1].strip() if lines else "its process ended without saying why")
