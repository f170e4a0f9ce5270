"""Results that are made again, because they are forced, damaged, lost or were interrupted."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from cosa.errors import UserError
from tests.workflows.planning.planned import finish, lay_out, plan, publish, reasons
from workflows.results.locks import exclusive


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return lay_out(tmp_path, monkeypatch)


def test_forced(here: Path) -> None:
    finish(plan())
    second = plan(force=("retrieval",))
    assert reasons(second) == {"retrieval": "forced", "test": "its input retrieval is forced"}
    with pytest.raises(UserError, match="--force: no stage 'retreival'; did you mean 'retrieval'"):
        plan(force=("retreival",))


def _folder_in_place_of(path: Path) -> None:
    path.unlink()
    path.mkdir()


def _pipe_in_place_of(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


DAMAGED_MANIFESTS: dict[str, Callable[[Path], object]] = {
    "empty": lambda path: path.write_bytes(b""),
    "cut": lambda path: path.write_text('{"kind": '),
    "something else": lambda path: path.write_text("[]"),
    "of other fields": lambda path: path.write_text('{"fingerprint": 1}'),
    "too deep": lambda path: path.write_text("[" * 100_000),
    "not UTF-8": lambda path: path.write_bytes(b'{"stage": "caf\xe9"}'),
    "a folder": _folder_in_place_of,
    "changed": lambda path: path.write_text(path.read_text().replace('"demo"', '"other"')),
    "a pipe": _pipe_in_place_of,
    "gone": lambda path: path.unlink(),
    "of another result": lambda path: path.write_text(next(path.parents[2].glob("pretrain/*/manifest.json")).read_text()),
}


@pytest.mark.parametrize("name", DAMAGED_MANIFESTS)
def test_a_damaged_result_is_made_again_and_one_of_another_fingerprint_blocks_nothing(name: str, here: Path) -> None:
    finish(plan())
    older = plan()
    (manifest,) = Path("storage/demo/retrieval").glob("*/manifest.json")
    DAMAGED_MANIFESTS[name](manifest)
    again = {step.name: step for step in plan().steps}["retrieval"]
    assert (again.action, again.fingerprint) == ("run", manifest.parent.name)
    assert again.reason.startswith("its result is damaged: ")
    changed = {step.name: step for step in plan("stages.retrieval.epochs=3").steps}["retrieval"]
    assert (changed.action, changed.damaged) == ("run", None)
    assert changed.fingerprint not in {step.fingerprint for step in older.steps}


def test_a_lost_result_is_made_again_without_what_builds_on_it(here: Path) -> None:
    first = plan()
    finish(first)
    shutil.rmtree(first.result_of("retrieval"))
    second = plan()
    assert set(reasons(second)) == {"retrieval"}
    test = next(step for step in second.steps if step.name == "test")
    assert test.reason == "done (its input retrieval gives the same result)"


def checkpoint_of(folder: Path, step: int) -> None:
    """Leave in the folder of unfinished work what a training saves."""
    saved = folder / "ray" / "demo-pretrain" / f"checkpoint_{step:08d}"
    saved.mkdir(parents=True)
    (saved / "checksums.json").touch()


def test_a_result_that_is_made_again_stays_until_the_new_one_is_there(here: Path) -> None:
    """And whoever forces it again continues; whoever does not has the earlier one."""
    first = plan()
    finish(first)
    step = next(step for step in first.steps if step.name == "pretrain")
    fingerprint, result = str(step.fingerprint), first.result_of("pretrain")
    first.storage.start_over("pretrain", fingerprint)
    assert plan().to_run == ()
    assert next(step for step in plan().steps if step.name == "pretrain").reason == "done"
    assert reasons(plan(force=("pretrain",)))["pretrain"] == "forced"
    checkpoint_of(first.storage.partial("pretrain", fingerprint), 12)
    again = plan()
    assert again.to_run == ()
    assert again.result_of("pretrain") == result
    (done,) = (step.reason for step in again.steps if step.name == "pretrain")
    assert done == "done; making it again was interrupted, and resumes at step 12 with --force pretrain"
    forced = plan(force=("pretrain",))
    assert reasons(forced)["pretrain"] == "forced again: resumes at step 12"
    assert [step.name for step in forced.steps if step.resumes] == ["pretrain"]
    publish(first, step)
    assert {step.reason for step in plan().steps} == {"done"}
    assert list(result.parent.iterdir()) == [result]


def test_unfinished_work_on_a_new_input_is_not_continued(here: Path) -> None:
    first = plan()
    finish(first)
    step = next(step for step in first.steps if step.name == "pretrain")
    checkpoint_of(first.storage.partial("pretrain", str(step.fingerprint)), 12)
    forced = plan(force=("made-frames",))
    assert reasons(forced)["pretrain"] == "its input made-frames is forced"
    assert not any(step.resumes for step in forced.steps)


def test_unfinished_work_without_a_result_is_not_continued_by_force(here: Path) -> None:
    first = plan()
    finish(first, "corpus", "made-frames")
    step = next(step for step in first.steps if step.name == "pretrain")
    checkpoint_of(first.storage.partial("pretrain", str(step.fingerprint)), 12)
    forced = plan(force=("pretrain",))
    assert (reasons(forced)["pretrain"], forced.steps[2].resumes) == ("forced", False)


def test_while_a_result_is_made_again_others_wait_for_it(here: Path) -> None:
    first = plan()
    finish(first)
    step = next(step for step in first.steps if step.name == "pretrain")
    first.storage.start_over("pretrain", str(step.fingerprint))
    with exclusive(first.storage.lock_file(str(step.fingerprint)), "pretrain"):
        assert reasons(plan())["pretrain"].startswith("in progress: process ")
    assert plan().to_run == ()


def test_a_damaged_result_is_made_again_where_that_was_interrupted(here: Path) -> None:
    first = plan()
    finish(first)
    step = next(step for step in first.steps if step.name == "pretrain")
    (first.result_of("pretrain") / "contents.json").unlink()
    checkpoint_of(first.storage.partial("pretrain", str(step.fingerprint)), 12)
    assert reasons(plan()) == {"pretrain": "its result is damaged: contents.json is gone; the new one resumes at step 12"}


def test_interrupted(here: Path) -> None:
    first = plan()
    finish(first, "corpus", "made-frames")
    step = next(step for step in first.steps if step.name == "pretrain")
    partial = first.storage.partial("pretrain", str(step.fingerprint))
    partial.mkdir(parents=True)
    again = next(step for step in plan().steps if step.name == "pretrain")
    reason = "interrupted: starts over, because it had saved no checkpoint yet"
    assert (again.action, again.reason, again.resumes) == ("run", reason, True)
    for name in ("checkpoint_00000008", "checkpoint_00000012_2", "checkpoint_00000016"):
        (partial / "ray" / "demo-pretrain" / name).mkdir(parents=True)
        if not name.endswith("16"):  # It was being written.
            (partial / "ray" / "demo-pretrain" / name / "checksums.json").touch()
    assert reasons(plan())["pretrain"] == "interrupted: resumes at step 12"
    other = next(step for step in plan("seed=3").steps if step.name == "pretrain")
    assert (other.reason, other.resumes) == ("new", False)


def test_an_extraction_that_failed_names_the_clips(here: Path) -> None:
    first = plan()
    step = next(step for step in first.steps if step.name == "own-frames")
    partial = first.storage.partial(step.name, str(step.fingerprint))
    partial.mkdir(parents=True)
    left = "resumes with the clips that are left"
    assert reasons(plan())["own-frames"] == f"interrupted: {left}"
    (partial / "unreadable.txt").write_text("v1\nv2\nv3\nv4\n")
    assert reasons(plan())["own-frames"] == f"interrupted: 4 of its clips could not be read (v1, v2, v3, ...); it {left}"
