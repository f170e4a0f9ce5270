"""A sweep that is killed resumes without repeating trials, and leaves none of Ray's resources occupied."""

import json
import signal
from pathlib import Path

import pytest
from safetensors.torch import load_file

from tests.end_to_end.commands import SMALL_CORPUS, Done, none_left, run, run_until, sets
from tests.end_to_end.tiny import tiny_experiment
from workflows.execution.progress import read_records
from workflows.execution.whereabouts import noted_workers

pytestmark = pytest.mark.slow

SWEEP = (
    "stages.retrieval.sweep={learning_rate: {loguniform: [1e-4, 1e-2]}, batch_size: [8], search: optuna, trials: 3, "
    "scheduler: asha, max_concurrent: 1}"
)
SETTINGS = (
    *SMALL_CORPUS,
    *(f"stages.{name}=" for name in ("pretrain", "zero-shot", "captioning", "answers", "test-captioning", "test-answers")),
    "stages.retrieval.init_from=~",
    "stages.retrieval.workers=1",
    "stages.retrieval.epochs=2",
    "stages.retrieval.evaluations_per_run=3",
    "stages.retrieval.log_every=1",
)


def trials(storage: Path, stage: str = "retrieval") -> dict[str, str]:
    """States of the trials, by folder."""
    found = (storage / "quickstart" / stage).glob("*/trials/*/trial.json")
    return {str(path.parent): json.loads(path.read_text())["state"] for path in found}


def test_a_killed_sweep_resumes_with_the_trials_that_are_left(tmp_path: Path) -> None:
    arguments = ("run-experiment", "experiments/quickstart.yaml", *sets(f"storage={tmp_path}", *SETTINGS, SWEEP))

    def one_done_one_running() -> bool:
        states = sorted(trials(tmp_path).values())
        return "running" in states and bool({"finished", "stopped"}.intersection(states))

    run_until(one_done_one_running, signal.SIGKILL, *arguments)
    before = trials(tmp_path)
    done = [folder for folder, state in before.items() if state in ("finished", "stopped")]
    assert len(done) == 1
    records = {folder: read_records(Path(folder)) for folder in done}

    resumed = run(*arguments)
    assert resumed.code == 0, resumed.output
    assert "3 trials, 1 at once (2 CPU / (1 worker x 1 CPU) = 2 fit, max_concurrent 1)" in resumed.output
    (result,) = (tmp_path / "quickstart" / "retrieval").iterdir()
    after = {Path(folder).name: state for folder, state in trials(tmp_path).items()}
    assert len(after) == 3
    assert set(after.values()) <= {"finished", "stopped"}
    for folder in done:
        again = result / "trials" / Path(folder).name
        assert read_records(again) == records[folder]
        assert len(noted_workers(again)) == 1  # its workers started once
    table = json.loads((result / "trials.json").read_text())
    manifest = json.loads((result / "manifest.json").read_text())
    assert table[0]["text_to_video_r1"] == manifest["metrics"]["text_to_video_r1"] == max(r["text_to_video_r1"] for r in table)
    assert {row["trial"] for row in table} == set(after)
    assert {"trials.csv", "sweep.png", "sweep-curves.png", "curves.png"} <= {path.name for path in result.iterdir()}
    # The stage behind it found room in the cluster, though trials were stopped early.
    assert "test-retrieval" in resumed.output
    assert none_left(tmp_path) == []


def test_a_sweep_that_is_asked_to_end_saves_and_its_trials_go_on_from_their_last_step(tmp_path: Path) -> None:
    """Of pretraining, whose trials are compared by their mean losses."""
    changes = (
        *SMALL_CORPUS,
        *(f"stages.{name}=" for name in ("retrieval", "zero-shot", "captioning", "answers")),
        *(f"stages.test-{name}=" for name in ("retrieval", "captioning", "answers")),
        *(f"stages.pretrain.corpora.{index}.steps=8" for index in range(3)),
        *(f"stages.pretrain.corpora.{index}.batch_size=12" for index in range(3)),
        "stages.pretrain.log_every=1",
        "stages.pretrain.workers=1",
        "stages.pretrain.sweep={learning_rate: [1e-3, 1e-5]}",
    )
    arguments = ("run-experiment", "experiments/quickstart.yaml", *sets(f"storage={tmp_path}", *changes))

    def both_train() -> bool:
        steps = [max((r.step for r in read_records(Path(folder))), default=0) for folder in trials(tmp_path, "pretrain")]
        return len(steps) == 2 and min(steps) >= 2

    ended = run_until(both_train, signal.SIGTERM, *arguments)
    assert ended.code == 75, ended.output
    assert "pretrain interrupted; finished stages are saved, and it resumes" in ended.output
    before = {Path(folder).name: read_records(Path(folder)) for folder in trials(tmp_path, "pretrain")}
    assert not {"finished", "stopped", "failed"}.intersection(trials(tmp_path, "pretrain").values())

    resumed = run(*arguments)
    assert resumed.code == 0, resumed.output
    (result,) = (tmp_path / "quickstart" / "pretrain").iterdir()
    mean_losses = {}
    for name, records in before.items():
        after = read_records(result / "trials" / name)
        assert after[: len(records)] == records  # with the seconds they took: no step was repeated
        training = [record for record in after if record.kind == "train"]
        assert [record.step for record in training] == list(range(1, after[-1].total + 1))
        assert len(noted_workers(result / "trials" / name)) == 2  # its workers started twice
        mean_losses[name] = sum(record.values["loss"] for record in training) / len(training)
    assert set(trials(tmp_path, "pretrain").values()) == {"finished"}
    table = json.loads((result / "trials.json").read_text())
    assert {row["trial"]: row["mean_loss"] for row in table} == pytest.approx(mean_losses)
    assert table[0]["trial"] == min(mean_losses, key=mean_losses.__getitem__)
    manifest = json.loads((result / "manifest.json").read_text())
    assert manifest["metrics"]["mean_loss"] == min(row["mean_loss"] for row in table)
    assert manifest["details"]["selected_mode"] == "min"
    assert none_left(tmp_path) == []


def test_a_widened_sweep_runs_new_values_only(tmp_path: Path) -> None:
    """From a finished sweep and from one that was interrupted; the result is that of a sweep over all values at once."""
    spec = tiny_experiment(tmp_path)

    def swept(values: str, storage: str = "storage") -> Done:
        sweep = f"stages.retrieval.sweep={{learning_rate: [{values}], max_concurrent: 1}}"
        first = "stages.retrieval.zero_shot_first=true"  # It is no result of training.
        done = run("run-experiment", spec, *sets(f"storage={tmp_path / storage}", sweep, first))
        assert done.code == 0, done.output
        return done

    def results(storage: str = "storage") -> list[Path]:
        folders = (tmp_path / storage / "tiny" / "retrieval").glob("[!.]*")
        return sorted((folder for folder in folders if folder.suffix != ".partial"), key=lambda path: path.stat().st_mtime_ns)

    swept("1e-3, 1e-5")
    widened = swept("1e-4, 1e-3, 1e-5")
    first, second = results()
    assert f"2 of 3 trials were run before (as tiny/retrieval/{first.name})" in widened.output
    for name in ("lr-0.001", "lr-1e-05"):
        assert read_records(second / "trials" / name) == read_records(first / "trials" / name)
        assert len(noted_workers(second / "trials" / name)) == 1
    swept("1e-4, 1e-3, 1e-5", "at-once")
    (expected,) = results("at-once")
    tables = [json.loads((folder / "trials.json").read_text()) for folder in (second, expected)]
    assert tables[0] == tables[1]
    ours, theirs = (load_file(folder / "checkpoint" / "model.safetensors") for folder in (second, expected))
    assert all((ours[name] == theirs[name]).all() for name in theirs)
    best = {json.loads((folder / "trials.json").read_text())[0]["learning_rate"] for folder in (first, second)}
    worse = next(value for value in (1e-3, 1e-4, 1e-5) if value not in best)
    assert "run before" not in swept(str(worse)).output, "of the worse ones no checkpoint was kept"
    assert "1 of 1 trial was run before" in swept(f"{tables[0][0]['learning_rate']}").output


def test_a_sweep_that_was_changed_after_an_interruption_repeats_no_trial(tmp_path: Path) -> None:
    spec = tiny_experiment(tmp_path)

    def given(values: str) -> tuple[str, ...]:
        sweep = f"stages.retrieval.sweep={{learning_rate: [{values}], max_concurrent: 1}}"
        return ("run-experiment", spec, *sets(f"storage={tmp_path / 'storage'}", sweep))

    def states() -> dict[str, str]:
        found = (tmp_path / "storage" / "tiny" / "retrieval").glob("*.partial/trials/*/trial.json")
        return {path.parent.name: json.loads(path.read_text())["state"] for path in found}

    run_until(lambda: "finished" in states().values(), signal.SIGTERM, *given("1e-3, 1e-5"))
    (partial,) = (tmp_path / "storage" / "tiny" / "retrieval").glob("*.partial")
    changed = run(*given("1e-4, 1e-3"))
    assert changed.code == 0, changed.output
    assert "1 of 2 trials was run before" in changed.output
    (result,) = (path for path in partial.parent.glob("[!.]*") if path != partial)
    assert read_records(result / "trials" / "lr-0.001") == read_records(partial / "trials" / "lr-0.001")
    assert len(noted_workers(result / "trials" / "lr-0.001")) == 1
    assert run(*given("1e-3, 1e-5")).code == 0, "the interrupted sweep lost nothing"
