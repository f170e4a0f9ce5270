"""What annotations say that is worth knowing before anything runs."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tests.workflows.planning.planned import CAPTIONS, finish, lay_out, plan
from workflows.planning.annotation_notes import annotation_notes
from workflows.planning.drawing import described
from workflows.planning.plan import check_inputs, make_plan
from workflows.results.layout import UNREADABLE_FILE
from workflows.spec.load import load_spec

SPEC = """\
name: notes
datasets:
  pics: {media: image, root: images, splits: {train: train.json, val: val.json, test: test.json}}
  same: {media: image, root: images, splits: {all: all.json}}
  other: {media: image, root: others, splits: {all: all.json}}
stages:
  captions: {kind: finetune, task: captioning, dataset: pics, epochs: 1, batch_size: 2}
  test: {kind: evaluate, checkpoint: captions, dataset: pics, split: test, tasks: [captioning]}
"""


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "images").mkdir()
    (tmp_path / "others").mkdir()
    (tmp_path / "spec.yaml").write_text(SPEC)
    write("train.json", range(10))
    write("val.json", range(10, 14))
    write("test.json", range(20, 24))
    write("all.json", range(30))
    return tmp_path


def write(name: str, ids: range, text: str = "a plain caption of picture") -> None:
    Path(name).write_text(json.dumps([{"video_id": f"v{i}", "desc": f"{text} {i}"} for i in ids]))


def notes(*overrides: str) -> list[str]:
    plan = make_plan(load_spec(Path("spec.yaml"), overrides))
    check_inputs(plan)
    return list(annotation_notes(plan))


def test_nothing_to_note(here: Path) -> None:
    assert notes() == []


def test_samples_that_fill_no_batch(here: Path) -> None:
    write("train.json", range(30, 53))
    assert notes("stages.captions.batch_size=8") == [
        "captions: a pass over pics/train is 2 steps of 8; 7 of its 23 samples, others each time, are left out, because they "
        "do not fill a batch"
    ]
    again = "stages.again={kind: finetune, task: captioning, dataset: pics, epochs: 1, batch_size: 8}"
    (both,) = notes("stages.captions.batch_size=8", again)
    assert both.startswith("captions, again: a pass over pics/train is 2 steps of 8;")
    write("train.json", range(50, 81))
    assert notes("stages.captions.batch_size=2") == [], "one of 31 is a small part"
    Path("train.json").write_text(json.dumps([{"video_id": f"v{i}", "desc": ["one", "two", "three"]} for i in range(30, 35)]))
    (several,) = notes("stages.captions.batch_size=10")
    assert several.startswith("captions: a pass over pics/train is 1 step of 10; 5 of its 15 samples,")
    Path("train.json").write_text(
        json.dumps([{"video_id": f"v{i}", "question": "who?", "answer": "a man"} for i in range(30, 35)])
    )
    asked = ("datasets.pics.splits={train: {questions: train.json}}", "stages.test=")
    (questions,) = notes(
        "stages.captions={kind: finetune, task: question_answering, dataset: pics, epochs: 1, batch_size: 4}", *asked
    )
    assert questions.startswith("captions: a pass over pics/train is 1 step of 4; 1 of its 5 samples,")


def test_samples_of_clips_that_could_not_be_read_do_not_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lay_out(tmp_path, monkeypatch)
    Path("own/val.json").write_text(json.dumps([*CAPTIONS, {"video_id": "v2", "desc": "once more"}]))
    batches = "stages.retrieval={kind: finetune, task: retrieval, dataset: own, train_split: val, epochs: 1, batch_size: 3}"
    made = plan(batches)
    assert any("1 of its 4 samples" in note for note in annotation_notes(made))
    finish(made, "own-frames")
    (made.result_of("own-frames") / UNREADABLE_FILE).write_text("v0\n")
    assert not any("own/val" in note for note in annotation_notes(plan(batches)))


def test_captions_that_are_there_twice(here: Path) -> None:
    entries = [{"video_id": f"v{i}", "desc": "x"} for i in (20, 21, 20, 22)]
    Path("test.json").write_text(json.dumps([*entries, {"video_id": "v20", "desc": ["y", "x"]}]))
    assert notes() == [
        "2 of 6 captions of pics/test repeat another of the same clip, such as 'x' of 'v20'; each counts as one more"
    ]
    shutil.copy("test.json", "train.json")
    assert not any("captions of pics/train" in note for note in notes())


def test_clips_that_are_also_trained_on(here: Path) -> None:
    write("test.json", range(8, 12))
    assert notes() == [
        "test: 2 of 4 clips of pics/test are also in pics/train, on which captions trained, such as 'v8': its scores are "
        "optimistic"
    ]


def test_clips_that_select_and_are_trained_on(here: Path) -> None:
    write("val.json", range(9, 12))
    [note] = notes()
    assert note.startswith("captions: 1 of 3 clips of pics/val are also in pics/train, on which captions trained")


def test_clips_of_another_dataset_in_the_same_folder(here: Path) -> None:
    pretrain = "stages.pre={kind: pretrain, corpora: [{dataset: %s, split: all, objectives: [cap], steps: 1, batch_size: 2}]}"
    found = notes(pretrain % "same", "stages.captions.init_from=pre")
    assert [note.partition(" trained")[0] for note in found] == [
        "captions: 4 of 4 clips of pics/val are also in same/all, on which pre",
        "test: 4 of 4 clips of pics/test are also in same/all, on which pre",
    ]
    assert notes(pretrain % "other", "stages.captions.init_from=pre") == []


def test_same_split_is_noted_by_its_name(here: Path) -> None:
    experiment = load_spec(Path("spec.yaml"), ["stages.test.split=train"])
    assert any("test reports on pics/train, on which captions trained" in warning for warning in experiment.warnings)
    assert notes("stages.test.split=train") == []


def test_one_clip_cannot_select_by_cider(here: Path) -> None:
    write("val.json", range(10, 11))
    assert notes() == [
        "captions selects by CIDEr on pics/val, which has 1 clip: the metric is always 0 with fewer than 2, so that nothing is "
        "selected"
    ]
    sweep = "stages.captions.sweep={learning_rate: [1e-4, 1e-5], metric: %s}"
    assert len(notes(sweep % "cider")) == 1
    assert notes(sweep % "bleu4") == []


def test_cider_of_one_clip_is_0() -> None:
    from cosa.evaluation.caption_metrics import caption_metrics

    one, two = {"a": "a red ball rolls"}, {"a": "a red ball rolls", "b": "two dogs play here"}
    assert caption_metrics(one, {key: [text] for key, text in one.items()}, ["cider"])["cider"] == 0
    assert caption_metrics(two, {key: [text] for key, text in two.items()}, ["cider"])["cider"] > 900


@pytest.mark.parametrize("text", ["🎉 🎈 🎂", "ሰላም ነው ዓለም", "ᐃᓄᒃᑎᑐᑦ ᐃᓄᒃ"])
def test_texts_of_unknown_words(here: Path, text: str) -> None:
    write("train.json", range(10), text)
    [note] = notes()
    assert "% of the tokens of pics/train are [UNK]" in note
    assert "words which are unknown to the tokenizer" in note


@pytest.mark.parametrize("text", ["ein schöner Tag", "un café très chaud", "a naïve piñata", "человек поёт"])
def test_texts_that_the_vocabulary_can_spell(here: Path, text: str) -> None:
    write("train.json", range(10), text)
    assert notes() == []


def test_smallest_vocabulary_spells_english(here: Path) -> None:
    assert notes("model.text.vocabulary_size=4161") == []


def test_questions_are_read_too(here: Path) -> None:
    rows = [{"video_id": f"v{i}", "question": "ሰላም ነው ዓለም", "answer": "x"} for i in range(10)]
    Path("train.json").write_text(json.dumps(rows))
    Path("val.json").write_text(json.dumps(rows[9:]))
    found = notes("stages.captions.task=question_answering", "stages.test=")
    assert ["clips of pics/val are also in pics/train" in found[0], "unknown to the tokenizer" in found[1]] == [True, True]


def test_a_file_that_no_stage_reads_or_that_is_damaged_gives_no_note(here: Path) -> None:
    Path("bad.json").write_text('[{"video_id": "a"},\n nothing')
    assert notes("datasets.pics.splits.train={captions: train.json, questions: bad.json}") == []
    made = make_plan(load_spec(Path("spec.yaml")))
    shutil.copy("bad.json", "train.json")
    assert annotation_notes(made) == ()


def test_notes_in_the_plan_for_programs(here: Path) -> None:
    made = make_plan(load_spec(Path("spec.yaml")))
    assert described(made, ["a note"])["warnings"] == ["a note"]


def test_missing_files_and_made_datasets_are_passed_over(here: Path) -> None:
    Path("test.json").unlink()
    assert notes() == []
