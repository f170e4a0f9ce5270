"""A result that is made again with --force is there, and is used, until the new one is complete, however the run ends."""

import json
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from threading import Thread

import pytest

from tests.end_to_end.commands import Done, run, run_disturbed, run_until

WAITING_KIND = """
import time
from pathlib import Path
from typing import Literal
from workflows.records.outcome import StageOutcome
from workflows.spec.reads import ResultRead
from workflows.spec.sections import StageSection
from workflows.spec.stage_kind import StageKind
from workflows.spec.stage_kinds import STAGE_KINDS

class WaitingSection(StageSection):
    "Write what a file says, as soon as it says something."
    kind: Literal["waiting"]
    says: str
    after: str | None = None

class Waiting(StageKind[WaitingSection]):
    "Waits for a file that is no input."
    name, section, version = "waiting", WaitingSection, 1

    def reads(self, section, datasets):
        if section.after is not None:
            yield ResultRead(("after",), section.after)

    def how_it_resumes(self, section, unfinished):
        return "resumes" if (unfinished / "began").exists() else "starts over"

    def run(self, context):
        (context.folder / "began").touch()
        file = Path(context.section.says)
        while not file.exists():
            time.sleep(0.05)
        (context.folder / "said.txt").write_text(file.read_text())
        return StageOutcome("said", outputs={"said": "said.txt"})

STAGE_KINDS.register(Waiting())
"""
SPEC = """
name: waits
extensions: [waiting.py]
stages:
  first: {kind: waiting, says: first.txt}
  second: {kind: waiting, says: second.txt, after: first}
"""


@pytest.fixture
def here(tmp_path: Path) -> Path:
    """A folder in which all stages are done."""
    (tmp_path / "waiting.py").write_text(WAITING_KIND)
    (tmp_path / "spec.yaml").write_text(SPEC)
    for stage in ("first", "second"):
        (tmp_path / f"{stage}.txt").write_text("old")
    done = run("run-experiment", "spec.yaml", cwd=tmp_path)
    assert done.code == 0, done.output
    return tmp_path


def said(here: Path) -> dict[str, str]:
    """What the results of all stages say."""
    return {stage: next(here.glob(f"storage/waits/{stage}/*/said.txt")).read_text() for stage in ("first", "second")}


def interrupted_in_second(here: Path, *options: str) -> Done:
    began = (here / "storage/waits/second").glob
    return run_until(lambda: any(began("*.partial/began")), signal.SIGINT, "run-experiment", "spec.yaml", *options, cwd=here)


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def reasons(here: Path, *options: str) -> dict[str, str]:
    done = run("plan", "spec.yaml", "--json", *options, cwd=here)
    return {stage["name"]: stage["reason"] for stage in json.loads(done.output)["stages"]}


@pytest.mark.slow
@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_the_earlier_result_survives_and_the_new_one_is_continued(here: Path, sent: signal.Signals) -> None:
    (here / "first.txt").write_text("new")
    (here / "second.txt").unlink()
    second = here / "storage/waits/second"
    ended = run_until(
        lambda: any(second.glob("*.partial/began")), sent, "run-experiment", "spec.yaml", "--force", "first", cwd=here
    )
    assert ended.code != 0
    if sent != signal.SIGKILL:
        assert "it resumes; its earlier result is used until the new one is complete" in " ".join(ended.output.split())
        assert "run-experiment spec.yaml --force second" in ended.output, "what is done is not forced again"
    assert said(here) == {"first": "new", "second": "old"}
    assert run("plan", "spec.yaml", "--check", cwd=here).code == 0, "the earlier result counts"
    assert reasons(here) == {
        "first": "done",
        "second": "done; making it again was interrupted, and resumes with --force second",
    }
    listed = json.loads(run("list", "--json", cwd=here).output)["results"]
    assert [(one["stage"], one["damage"]) for one in listed] == [("first", ""), ("second", "")]
    assert reasons(here, "--force", "second")["second"] == "forced again: resumes"
    assert reasons(here, "--force", "first")["second"] == "its input first is forced"
    (here / "second.txt").write_text("new")
    done = run("run-experiment", "spec.yaml", "--force", "second", cwd=here)
    assert done.code == 0, done.output
    assert said(here) == {"first": "new", "second": "new"}
    assert reasons(here) == {"first": "done", "second": "done"}


@pytest.mark.slow
def test_work_without_an_earlier_result_is_continued_without_force(here: Path) -> None:
    shutil.rmtree(here / "storage/waits/second")
    (here / "second.txt").unlink()
    ended = interrupted_in_second(here, "--force", "first")
    assert "it resumes. Resume with:" in " ".join(ended.output.split())
    assert "--force" not in ended.output.partition("Resume with:")[2], "it would start over"
    assert reasons(here)["second"] == "interrupted: resumes"


@pytest.mark.slow
def test_a_rerun_that_fails_says_how_to_start_it_over(here: Path) -> None:
    """What is wrong may be in its unfinished work, which the same --force resumes."""
    (here / "first.txt").unlink()
    (here / "first.txt").mkdir()
    failed = run("run-experiment", "spec.yaml", "--force", "first", cwd=here)
    assert failed.code == 1
    unfinished = next(here.glob("storage/waits/first/*.partial")).relative_to(here)
    assert f"to start first over, which --force does not do now, remove {unfinished}" in " ".join(failed.output.split())


@pytest.mark.slow
def test_a_result_of_another_experiment_may_be_made_again_and_is_used_until_then(here: Path) -> None:
    (here / "storage/waits").rename(here / "storage/others")
    (here / "second.txt").unlink()
    ended = interrupted_in_second(here, "--force", "second")
    assert "its earlier result is used until the new one is complete" in " ".join(ended.output.split())
    assert "run-experiment spec.yaml --force second" in ended.output
    assert reasons(here)["second"] == "done as others/second"
    assert reasons(here, "--force", "second")["second"] == "forced again: resumes"


@pytest.mark.slow
def test_what_another_run_was_to_make_again_and_did_not_is_made(here: Path) -> None:
    """Both force the second stage. One ends in the first, for which the other one waits."""
    first, second = (here / f"storage/waits/{stage}" for stage in ("first", "second"))
    for stage in ("first", "second"):
        (here / f"{stage}.txt").unlink()
    done: list[Done] = []

    def disturb(driver: subprocess.Popen[str]) -> None:
        other = Thread(target=lambda: done.append(run("run-experiment", "spec.yaml", "--force", "second", cwd=here)))
        other.start()
        wait_for(lambda: any("waiting for process" in log.read_text() for log in here.glob("storage/waits/logs/*.log")))
        driver.send_signal(signal.SIGINT)
        driver.wait()
        (here / "second.txt").write_text("new")
        other.join()

    run_disturbed(
        lambda: any(first.glob("*.partial/began")), disturb, "run-experiment", "spec.yaml", "--force", "first", cwd=here
    )
    assert done[0].code == 0, done[0].output
    assert said(here) == {"first": "old", "second": "new"}
    assert not any(second.glob("*.partial"))


@pytest.mark.slow
def test_a_run_waits_for_an_input_that_another_run_makes_again(here: Path) -> None:
    """It does so after its plan, which had the earlier result."""
    (here / "spec.yaml").write_text(
        SPEC + "  between: {kind: waiting, says: between.txt}\n  third: {kind: waiting, says: second.txt, after: first}\n"
    )
    (here / "third.txt").write_text("third")
    (here / "first.txt").unlink()
    done: list[Done] = []

    def disturb(_: subprocess.Popen[str]) -> None:
        other = Thread(
            target=lambda: done.append(run("run-experiment", "spec.yaml", "--only", "first", "--force", "first", cwd=here))
        )
        other.start()
        wait_for(lambda: any(here.glob("storage/waits/first/*.partial/began")))
        (here / "between.txt").write_text("between")
        wait_for(lambda: any("which works on first" in log.read_text() for log in here.glob("storage/waits/logs/*.log")))
        (here / "first.txt").write_text("new")
        other.join()

    began = (here / "storage/waits/between").glob
    ended = run_disturbed(
        lambda: any(began("*.partial/began")),
        disturb,
        "run-experiment",
        "spec.yaml",
        "--set",
        "stages.third.says=third.txt",
        cwd=here,
    )
    assert (ended.code, done[0].code) == (0, 0), ended.output + done[0].output
    assert next(here.glob("storage/waits/third/*/said.txt")).read_text() == "third"
