"""Trials of a sweep: their values, names, what is remembered of them, and what Ray Tune gets."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workflows.execution.search import AshaWithHistory, PlannedTrials, StudyTrials, TrialSearch
from workflows.execution.trials import Trial, TrialBook, is_logarithmic, planned, short_fields, trial_name
from workflows.spec.sweep import SweepSection


def sweep(**fields: Any) -> SweepSection:
    return SweepSection.model_validate(fields)


def test_a_grid_is_all_combinations() -> None:
    grid = list(planned(sweep(learning_rate=[1e-5, 1e-4], batch_size=[8, 16]), 1))
    assert [tuple(values.values()) for values in grid] == [(1e-5, 8), (1e-5, 16), (1e-4, 8), (1e-4, 16)]


def test_draws_follow_from_the_seed_and_stay_in_their_range() -> None:
    settings = sweep(
        learning_rate={"loguniform": [1e-5, 1e-3]}, warmup_ratio={"uniform": [0.1, 0.4]}, train_frames={"integers": [1, 3]},
        batch_size=[8, 16], search="random", trials=200,
    )  # fmt: skip
    drawn = list(planned(settings, 1))
    assert drawn == list(planned(settings, 1)) != list(planned(settings, 2))
    assert all(1e-5 <= values["learning_rate"] <= 1e-3 and 0.1 <= values["warmup_ratio"] <= 0.4 for values in drawn)
    assert {values["train_frames"] for values in drawn} == {1, 2, 3}
    assert {values["batch_size"] for values in drawn} == {8, 16}
    below = sum(values["learning_rate"] < 1e-4 for values in drawn)
    assert 70 < below < 130  # half of the logarithms
    # The first trials are the same however many there are: a sweep can be made longer.
    assert list(planned(settings.model_copy(update={"trials": 3}), 1)) == drawn[:3]


@pytest.mark.parametrize(
    ("parameters", "name"),
    [
        ({"learning_rate": 3e-4}, "lr-0.0003"),
        ({"learning_rate": 1e-05, "weight_decay": 0.01}, "lr-1e-05_wd-0.01"),
        ({"epochs": 2, "compile": True}, "epochs-2_compile-true"),
        ({"warmup_ratio": 0.1, "wide_rate": 2}, "warmup_ratio-0.1_wide_rate-2"),
        ({"vision_learning_rate": None, "schedule": "a b/../c"}, "vlr-null_schedule-a-b-..-c"),
    ],
)
def test_names_are_short(parameters: dict[str, Any], name: str) -> None:
    assert trial_name(parameters) == name


@given(
    st.dictionaries(
        st.sampled_from(["learning_rate", "weight_decay", "epochs", "init", "new_parameters"]),
        st.one_of(
            st.floats(allow_nan=False), st.integers(), st.booleans(), st.none(), st.text(), st.lists(st.text(), max_size=3)
        ),
        min_size=1,
    )
)
def test_any_values_have_a_name_that_is_a_folder(parameters: dict[str, Any]) -> None:
    name = trial_name(parameters)
    assert 0 < len(name) <= 48
    assert "/" not in name
    assert name not in (".", "..")


def test_short_fields_differ() -> None:
    assert short_fields(["learning_rate", "loss_ratio", "epochs"]) == {
        "learning_rate": "learning_rate", "loss_ratio": "loss_ratio", "epochs": "epochs",
    }  # fmt: skip


def test_the_book_remembers_what_is_done(tmp_path: Path) -> None:
    book = TrialBook.read(tmp_path)
    ended, running, failed, lost = (book.add({"learning_rate": rate}) for rate in (1e-5, 1e-4, 1e-3, 1e-2))
    book.set(ended, "stopped")
    book.set(running, "running")
    book.set(failed, "failed", "no image")
    book.set(lost, "waiting")
    again = TrialBook.read(tmp_path)
    assert {trial.name: trial.state for trial in again.trials} == {
        "lr-1e-05": "stopped", "lr-0.0001": "waiting", "lr-0.001": "waiting", "lr-0.01": "waiting",
    }  # fmt: skip
    assert again.add({"learning_rate": 1e-4}) is again.named("lr-0.0001")
    assert len(again.trials) == 4
    (tmp_path / "lr-0.001" / "trial.json").write_text("{torn")
    (tmp_path / "lr-0.001" / "progress.jsonl").write_text("old")
    torn = TrialBook.read(tmp_path)
    torn.add({"learning_rate": 1e-3})
    assert not (tmp_path / "lr-0.001" / "progress.jsonl").exists()


def test_the_order_of_trials_is_that_of_the_sweep_after_an_interruption(tmp_path: Path) -> None:
    values = [{"learning_rate": rate} for rate in (1e-4, 3e-4, 1e-3)]
    book = TrialBook(tmp_path)
    trials = [book.add(one) for one in values]
    book.set(trials[0], "finished")  # Its file is now the newest.
    again = TrialBook.read(tmp_path)
    again.begin_with([again.add(one) for one in values])
    assert [trial.parameters for trial in again.trials] == values


def test_trials_that_failed_by_themselves_are_not_repeated_with_those_that_were_lost(tmp_path: Path) -> None:
    book = TrialBook.read(tmp_path)
    ended, running, failed, lost = (book.add({"learning_rate": rate}) for rate in (1e-5, 1e-4, 1e-3, 1e-2))
    for trial, state in ((ended, "finished"), (running, "running"), (failed, "failed"), (lost, "lost")):
        book.set(trial, state, "no image" if state == "failed" else "")
    again = TrialBook.read(tmp_path)
    assert [trial.name for trial in again.waiting] == ["lr-0.0001", "lr-0.01"]
    assert [(trial.name, trial.reason) for trial in again.failed] == [("lr-0.001", "no image")]
    for trial in again.waiting:
        again.set(trial, "finished")
    assert [trial.name for trial in TrialBook.read(tmp_path).waiting] == ["lr-0.001"]  # Nothing else is left.


def test_equal_names_of_different_trials_differ(tmp_path: Path) -> None:
    book = TrialBook(tmp_path)
    assert [book.add({"schedule": text}).name for text in ("a b", "a-b")] == ["schedule-a-b", "schedule-a-b_2"]


def test_optuna_resumes_its_study(tmp_path: Path) -> None:
    settings = sweep(learning_rate={"loguniform": [1e-6, 1e-1]}, batch_size=[8, 16], search="optuna", trials=12)

    def value(trial: Trial) -> float:
        return -abs(trial.parameters["learning_rate"] - 1e-3)

    first = StudyTrials(settings, TrialBook.read(tmp_path), 1)
    for _ in range(7):
        trial = first.next()
        assert trial is not None
        first.reported(trial, value(trial))
        first.book.set(trial, "finished")
    broken, interrupted = first.next(), first.next()
    assert broken is not None
    assert interrupted is not None
    first.reported(broken, None)
    first.book.set(broken, "failed")

    second = StudyTrials(settings, TrialBook.read(tmp_path), 1)
    assert len(second.study.trials) == 9
    repeated = [second.next(), second.next()]
    assert {trial.name for trial in repeated if trial} == {broken.name, interrupted.name}
    rest = []
    while (trial := second.next()) is not None:
        second.reported(trial, value(trial))
        rest.append(trial)
    names = [trial.name for trial in second.book.trials]
    assert len(names) == len(set(names)) == 12
    assert len(rest) == 3
    assert all(trial.parameters["batch_size"] in (8, 16) for trial in second.book.trials)
    assert json.loads((tmp_path / names[0] / "trial.json").read_text())["number"] is not None


def test_tune_is_given_trials_and_tells_how_they_end() -> None:
    reported: list[tuple[str, float | None]] = []

    class Source(PlannedTrials):
        def reported(self, trial: Trial, value: float | None) -> None:
            reported.append((trial.name, value))

    trials = [Trial(name, {"epochs": number}) for number, name in enumerate("abc", 1)]
    search = TrialSearch(Source(trials), lambda trial: 5.0, lambda trial: trial.name == "a")
    assert search.suggest("1") == {"trial": "a", "parameters": {"epochs": 1}}
    assert search.suggest("2") == {"trial": "b", "parameters": {"epochs": 2}}
    assert search.suggest("3") == {"trial": "c", "parameters": {"epochs": 3}}
    assert search.suggest("4") == TrialSearch.FINISHED
    search.on_trial_complete(trial_id="2", result={}, error=False)
    search.on_trial_complete(trial_id="1", result=None, error=True)
    search.on_trial_complete(trial_id="3", result=None, error=True)  # It was lost: it will run again.
    assert reported == [("b", 5.0), ("a", None)]


@pytest.mark.parametrize("mode", ["max", "min"])
def test_asha_knows_the_trials_of_earlier_invocations(mode: str) -> None:
    sign = 1 if mode == "max" else -1

    def decision(history: dict[str, list[float]], value: float) -> str:
        scheduler = AshaWithHistory(4, mode, history)
        scheduler.set_search_properties("cider", mode)

        class New:
            trial_id = "new"

        scheduler.on_trial_add(None, New())
        return str(scheduler.on_trial_result(None, New(), {"evaluation": 1, "cider": sign * value}))

    history = {"good": [sign * 50.0, sign * 60.0], "better": [sign * 70.0]}
    assert decision(history, 10.0) == "STOP"
    assert decision(history, 80.0) == "CONTINUE"
    assert decision({}, 10.0) == "CONTINUE"


@pytest.mark.parametrize(
    ("name", "values", "expected"),
    [
        ("learning_rate", [1e-5, 3e-5], True),
        ("batch_size", [8, 16], False),
        ("epochs", [1, 30], True),
        ("schedule", ["cosine"], False),
    ],
)
def test_axes(name: str, values: list[Any], expected: bool) -> None:
    assert is_logarithmic(name, tuple(values)) is expected
