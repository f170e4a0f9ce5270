"""Whether annotation files are fit for the stages that read them."""

import json
from pathlib import Path

import pytest

from cosa.errors import UserError
from tests.workflows.planning.planned import CAPTIONS, QUESTIONS, finish, lay_out, plan
from workflows.planning import annotation_files
from workflows.planning.annotation_files import AnnotationFile
from workflows.planning.plan import annotation_mistakes, blocked_by, check_annotations


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return lay_out(tmp_path, monkeypatch)


def test_annotations_are_fit_for_their_tasks(here: Path) -> None:
    check_annotations(plan())
    questions = ("stages.retrieval.task=question_answering", "stages.test.tasks=[question_answering]")
    with pytest.raises(UserError, match=r"own/train\.json holds captions, but stage retrieval needs questions; set"):
        check_annotations(plan(*questions))
    Path("q.json").write_text(json.dumps(QUESTIONS))
    given = [f"datasets.own.splits.{split}.questions=q.json" for split in ("train", "val")]
    check_annotations(plan(*questions, *given))


def test_answers_may_lack_only_where_none_are_needed(here: Path) -> None:
    Path("q.json").write_text(json.dumps(QUESTIONS))
    asked = [{"video_id": q["video_id"], "question": q["question"], "question_id": i} for i, q in enumerate(QUESTIONS)]
    Path("t.json").write_text(json.dumps(asked))
    overrides = [
        "stages.retrieval.task=question_answering",
        "stages.test.tasks=[question_answering]",
        "stages.test.split=server",
        *(f"datasets.own.splits.{split}.questions=q.json" for split in ("train", "val")),
        "datasets.own.splits.server=t.json",
    ]
    check_annotations(plan(*overrides, "stages.test.submission=true"))
    Path("t.json").write_text(json.dumps([{k: v for k, v in q.items() if k != "question_id"} for q in asked]))
    with pytest.raises(UserError, match=r't\.json, line 1: field "question_id" is missing; the submission of stage test'):
        check_annotations(plan(*overrides, "stages.test.submission=true"))
    with pytest.raises(UserError, match=r't\.json, line 1 \(entry 1\): field "answer" is missing'):
        check_annotations(plan(*overrides))


@pytest.mark.parametrize("split", ["train", "val"])
def test_a_clip_may_have_several_entries(here: Path, split: str) -> None:
    Path(f"own/{split}.json").write_text(json.dumps(CAPTIONS + CAPTIONS))
    check_annotations(plan())


def test_mistakes_in_several_files_are_reported_at_once(here: Path) -> None:
    Path("own/train.json").write_text(json.dumps([{"video_id": "v0", "words": "x"}]))
    Path("own/val.json").write_text(json.dumps([{"video_id": "v0", "desc": ""}]))
    with pytest.raises(UserError) as raised:
        check_annotations(plan())
    lines = str(raised.value).splitlines()
    assert [line.partition(" (entry")[0] for line in lines] == ["own/train.json, line 1", "own/val.json, line 1"]


def test_a_file_of_another_kind_is_one_mistake_of_all_its_stages(here: Path) -> None:
    Path("own/val.json").write_text(json.dumps(QUESTIONS))
    made = plan()
    mistakes = annotation_mistakes(made)
    assert {mistake.stage for mistake in mistakes} == {"retrieval", "test"}
    assert {mistake.text for mistake in mistakes} == {
        "own/val.json holds questions, but stage retrieval needs captions; set datasets.own.splits.val.captions"
    }
    blocked = {step.name: step.reason for step in blocked_by(mistakes, made).steps if step.action == "blocked"}
    assert blocked == {"retrieval": "wrong: own/val.json", "test": "wrong: own/val.json"}


def test_annotations_of_finished_stages_are_not_read_again(here: Path) -> None:
    Path("own/spare.json").write_text("[")
    made = plan()
    with pytest.raises(UserError, match=r"own/spare\.json"):
        check_annotations(made)
    finish(made, "own-frames")
    check_annotations(plan())


def test_a_split_must_fill_a_batch(here: Path) -> None:
    with pytest.raises(UserError, match=r"own/train\.json has 3 samples, fewer than a batch of stage retrieval \(4\)"):
        check_annotations(plan("stages.retrieval.batch_size=4"))


def test_soft_accuracy_needs_several_answers(here: Path) -> None:
    Path("q.json").write_text(json.dumps(QUESTIONS))
    overrides = [
        "stages.retrieval=",
        "stages.test.checkpoint=pretrain",
        "stages.test.tasks=[question_answering]",
        *(f"datasets.own.splits.{split}.questions=q.json" for split in ("train", "val")),
    ]
    check_annotations(plan(*overrides))
    with pytest.raises(UserError, match=r"q\.json, line 1: 1 answers, but the soft accuracy of stage test needs at least 4"):
        check_annotations(plan(*overrides, "stages.test.soft_accuracy=true"))


def test_references_cover_the_split(here: Path) -> None:
    Path("r.json").write_text(json.dumps({"annotations": [{"video_id": "v0", "caption": "one"}]}))
    overrides = ["stages.test.tasks=[captioning]", "datasets.own.splits.val={captions: own/val.json, references: r.json}"]
    with pytest.raises(UserError, match=r"r\.json has no reference caption for 2 clips of own/val\.json, such as 'v1'"):
        check_annotations(plan(*overrides))


def test_a_file_is_read_again_only_when_something_changed(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[Path] = []
    check = AnnotationFile.check
    monkeypatch.setattr(AnnotationFile, "check", lambda file, digests: (read.append(file.path), check(file, digests)))
    Path("storage").mkdir()  # Planning makes no storage, and without one it remembers nothing.

    def read_by(*overrides: str) -> set[str]:
        read.clear()
        check_annotations(plan(*overrides))
        return {path.name for path in read}

    assert read_by() == {"train.json", "val.json", "spare.json"}
    assert read_by() == set()
    Path("own/val.json").write_text(json.dumps(CAPTIONS[:2]))
    assert read_by() == {"val.json"}
    assert read_by("stages.retrieval.batch_size=3") == {"train.json"}, "it wants more samples of it"
    monkeypatch.setattr(annotation_files, "_code", lambda: "another version")
    assert read_by() == {"train.json", "val.json", "spare.json"}
    Path("own/train.json").write_text("[")
    for _ in range(2):  # What did not pass is read every time.
        with pytest.raises(UserError, match=r"own/train\.json"):
            read_by()
