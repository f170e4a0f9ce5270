"""Data that change while they are read: no result says that it was made from something else."""

import json
import subprocess
import time
from pathlib import Path

import pytest

from tests.end_to_end.commands import run, run_disturbed
from tests.end_to_end.tiny import results_of, tiny_experiment

pytestmark = pytest.mark.slow


def test_captions_that_change_during_training_make_no_result(tmp_path: Path) -> None:
    """And what was trained on them is not resumed when the former ones are back."""
    spec = tiny_experiment(tmp_path)
    captions = tmp_path / "train.json"
    former = captions.read_text()
    other = json.dumps([{**entry, "desc": "something else"} for entry in json.loads(former)])

    def change(_: subprocess.Popen[str]) -> None:
        time.sleep(1)  # The stage compares its data as soon as its folder is there, and reads them when its workers are.
        captions.write_text(other)

    changed = run_disturbed(lambda: any(results_of(tmp_path).glob("*.partial")), change, "run-experiment", spec)
    assert changed.code == 1, changed.output
    said = " ".join(changed.output.split())
    assert "train.json changed while the stage ran" in said
    assert "is not resumed; it is kept in" in said
    [aside] = results_of(tmp_path).iterdir()
    assert aside.name.endswith(".of-changed-data")
    captions.write_text(former)
    again = run("run-experiment", spec)
    assert again.code == 0, again.output
    assert "resumes" not in again.output
    [result] = (path for path in results_of(tmp_path).iterdir() if not path.name.startswith("."))
    assert f".{result.name}.of-changed-data" == aside.name
    records = [json.loads(line) for line in (result / "progress.jsonl").read_text().splitlines()]
    assert [record["step"] for record in records if record["kind"] == "train"] == [1, 2, 3, 4]


def test_clips_that_change_after_planning_are_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from workflows.planning.data import ChangedDataError, check_unchanged
    from workflows.planning.plan import digests_in, make_plan
    from workflows.results.storage import Storage
    from workflows.spec.load import load_spec

    spec = Path(tiny_experiment(tmp_path))
    experiment = load_spec(spec)
    [step] = make_plan(experiment).steps

    def check() -> None:
        digests = digests_in(Storage(tmp_path / "storage", "tiny"))
        check_unchanged(step.name, step.read, experiment, digests, "since the plan was made")

    check()
    picture = tmp_path / "images" / "v3.png"
    content = picture.read_bytes()
    picture.write_bytes(content[:-1] + b"x")
    with pytest.raises(ChangedDataError, match=r"images changed since the plan was made; run the same command again"):
        check()
    picture.write_bytes(content)
    check()
    picture.unlink()
    with pytest.raises(ChangedDataError):
        check()
