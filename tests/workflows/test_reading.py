"""Whether annotation files are fit for the stages that read them."""

import json
from pathlib import Path

import pytest

from cosa.errors import UserError
from tests.workflows.planned import CAPTIONS, QUESTIONS, finish, lay_out, plan
from workflows.plan import check_annotations


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return lay_out(tmp_path, monkeypatch)


def test_annotations_are_fit_for_their_tasks(here: Path) -> None:
    check_annotations(plan())
    questions = ("stages.retrieval.task=question_answering", "stages.test.tasks=[question_answering]")
    with pytest.raises(UserError, match=r"own/train\.json holds captions, but stage retrieval needs questions; give"):
        check_annotations(plan(*questions))
    Path("q.json").write_text(json.dumps(QUESTIONS))
    given = [f"datasets.own.splits.{split}.questions=q.json" for split in ("train", "val")]
    check_annotations(plan(*questions, *given))


def test_answers_may_lack_only_where_none_are_needed(here: Path) -> None:
    Path("q.json").write_text(json.dumps(QUESTIONS))
    Path("t.json").write_text(json.dumps([{k: v for k, v in q.items() if k != "answer"} for q in QUESTIONS]))
    overrides = [
        "stages.retrieval.task=question_answering",
        "stages.test.tasks=[question_answering]",
        "stages.test.split=server",
        *(f"datasets.own.splits.{split}.questions=q.json" for split in ("train", "val")),
        "datasets.own.splits.server=t.json",
    ]
    check_annotations(plan(*overrides, "stages.test.submission=true"))
    with pytest.raises(UserError, match=r't\.json, line 1 \(entry 1\): field "answer" is missing'):
        check_annotations(plan(*overrides))


def test_duplicate_clips_are_fine_in_training_only(here: Path) -> None:
    Path("own/train.json").write_text(json.dumps(CAPTIONS + CAPTIONS))
    check_annotations(plan())
    Path("own/val.json").write_text(json.dumps(CAPTIONS + CAPTIONS))
    with pytest.raises(UserError, match=r"own/val\.json, line 1: video_id 'v0' was already used"):
        check_annotations(plan())


def test_annotations_of_finished_stages_are_not_read_again(here: Path) -> None:
    Path("own/spare.json").write_text("[")
    made = plan()
    with pytest.raises(UserError, match=r"own/spare\.json"):
        check_annotations(made)
    finish(made, "own-frames")
    check_annotations(plan())
