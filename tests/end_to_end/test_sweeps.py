"""A sweep that is killed resumes without repeating trials, and leaves none of Ray's resources occupied."""

import json
import signal
from pathlib import Path

import pytest

from tests.end_to_end.commands import SMALL_CORPUS, none_left, run, run_until, sets
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
    assert "pretrain interrupted; finished work is saved. Resume with:" in ended.output
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
