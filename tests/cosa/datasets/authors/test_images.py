"""Converters of images, on a few records in their authors' layout."""

import csv
import json
import zipfile
from pathlib import Path

import pytest

from cosa.datasets.authors import vqav2
from cosa.errors import DataError
from tests.cosa.datasets.authors.samples import captions, convert, coverage, questions, write
from tests.cosa.datasets.authors.test_clips import TEXTS, asked, media

# -- Karpathy's splits ----------------------------------------------------------------------------------------------------


def test_coco_trains_on_restval_too_and_finds_images_in_folders(tmp_path: Path) -> None:
    ids = write("mscoco", tmp_path / "source")
    images = media(tmp_path / "images", *(f"val2014/{name}.jpg" for name in ids))
    convert("mscoco", tmp_path / "source", tmp_path / "out", media=images)
    assert captions(tmp_path / "out" / "train_desc.json") == {f"val2014/{ids[n]}": TEXTS[n] for n in (0, 1)}
    assert captions(tmp_path / "out" / "test_desc.json") == {f"val2014/{ids[n]}": TEXTS[n] for n in (3, 4)}


def test_flickr_trains_on_two_splits_and_is_read_from_the_archive(tmp_path: Path) -> None:
    ids = write("flickr30k", tmp_path / "source")
    file = tmp_path / "source" / "dataset_flickr30k.json"
    with zipfile.ZipFile(tmp_path / "source" / "caption_datasets.zip", "w") as archive:
        archive.write(file, "dataset_flickr30k.json")
    file.unlink()
    convert("flickr30k", tmp_path / "source", tmp_path / "out")
    assert list(captions(tmp_path / "out" / "trainval_desc.json")) == ids[:3]
    assert list(captions(tmp_path / "out" / "val_desc.json")) == [ids[2]]
    assert not [remark for remark in coverage(tmp_path / "out")["remarks"] if "are also in" in remark]


# -- VQA v2 ---------------------------------------------------------------------------------------------------------------


def change(path: Path, number: int, **fields: object) -> None:
    content = json.loads(path.read_text())
    next(one for one in content["annotations"] if one["question_id"] == number).update(fields)
    path.write_text(json.dumps(content))


def given(*answers: str) -> list[dict[str, object]]:
    return [{"answer": answer, "answer_confidence": "yes", "answer_id": place} for place, answer in enumerate(answers, 1)]


def test_vqa_questions_keep_ten_answers_in_validation_and_candidates_in_training(tmp_path: Path) -> None:
    ids = write("vqav2", tmp_path / "source")
    annotations = tmp_path / "source" / "v2_mscoco_train2014_annotations.json"
    people = ["stage"] * 3 + ["man"] * 5 + ["a tall man", "person"]
    change(annotations, 0, answers=given(*people))
    change(annotations, 1, answers=given(*["unheard of"] * 10))
    convert("vqav2", tmp_path / "source", tmp_path / "out")
    trained = questions(tmp_path / "out" / "train_desc_qa_3129.json")
    assert (trained[0].video_id, trained[0].answers) == (ids[0], ("man", "stage"))
    assert "1" not in {entry.question_id for entry in trained}
    assert len(trained) == 3 * vqav2.FEWEST_QUESTIONS - 1
    validated = questions(tmp_path / "out" / "val_desc_qa.json")
    assert (validated[0].video_id, validated[0].answers, validated[0].question_type) == (ids[2], ("cat",) * 10, "other")


def test_vqa_candidates_are_normalised_and_answer_nine_questions_of_both_splits(tmp_path: Path) -> None:
    write("vqav2", tmp_path / "source")
    annotations = tmp_path / "source" / "v2_mscoco_train2014_annotations.json"
    change(annotations, 0, multiple_choice_answer="The man.")  # It counts as "man".
    change(annotations, 9, multiple_choice_answer="screen")  # "stage" is left with eight.
    convert("vqav2", tmp_path / "source", tmp_path / "out")
    with (tmp_path / "out" / "answers.csv").open(newline="") as file:
        rows = {row["answer"]: int(row["questions"]) for row in csv.DictReader(file)}
    assert rows == {"man": 9, "dog": 9, "cat": 9}
    assert coverage(tmp_path / "out")["files"][0]["published"]["rows"] == 3129


def test_vqa_test_questions_have_no_answers(tmp_path: Path) -> None:
    ids = write("vqav2", tmp_path / "source")
    convert("vqav2", tmp_path / "source", tmp_path / "out", variant="qa-trainval")
    assert len(questions(tmp_path / "out" / "train_desc_qa_3129.json")) == 4 * vqav2.FEWEST_QUESTIONS
    for name in ("test_desc_qa.json", "testdev_desc_qa.json"):
        tested = questions(tmp_path / "out" / name, require_answers=False)
        assert {entry.question for entry in tested} == {question for question, _ in asked(3, 4)}
        assert {entry.video_id for entry in tested} == {ids[3], ids[4]}
        assert not any(entry.answers for entry in tested)


# -- images of the web ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["cc3m", "cc12m"])
def test_images_are_named_by_rows_as_img2dataset_does(tmp_path: Path, name: str) -> None:
    ids = write(name, tmp_path / "source")
    assert ids == ["00000/000000000", "00000/000000001", "", "", ""]
    convert(name, tmp_path / "source", tmp_path / "files")
    assert captions(tmp_path / "files" / "train_desc.json") == {ids[0]: ["A man sings."], ids[1]: ["a dog runs"]}
    convert(name, tmp_path / "source", tmp_path / "shards", layout="shards", samples_per_shard=1000)
    assert list(captions(tmp_path / "shards" / "train_desc.json")) == ["00000000", "00000001"]


def test_a_row_of_names_and_blank_captions_are_no_samples_but_count_as_rows(tmp_path: Path) -> None:
    (tmp_path / "source").mkdir()
    rows = ["url\tcaption", "https://a\t ", 'https://b\tan "odd caption', "https://c\t<PERSON> sings"]
    (tmp_path / "source" / "cc12m.tsv").write_text("\n".join(rows) + "\n")
    convert("cc12m", tmp_path / "source", tmp_path / "out")
    found = captions(tmp_path / "out" / "train_desc.json")
    assert found == {"00000/000000001": ['an "odd caption'], "00000/000000002": ["<PERSON> sings"]}
    assert coverage(tmp_path / "out")["files"][0]["empty"] == {"count": 1, "names": ["00000/000000000"]}


def test_images_that_were_not_fetched_are_left_out(tmp_path: Path) -> None:
    ids = write("cc3m", tmp_path / "source")
    images = media(tmp_path / "images", f"{ids[1]}.jpg", "00000/000000001.json")
    with pytest.raises(DataError, match=r"lacks 1 images that train_desc\.json would name: 00000/000000000"):
        convert("cc3m", tmp_path / "source", tmp_path / "out", media=images)
    convert("cc3m", tmp_path / "source", tmp_path / "left", media=images, missing="leave_out")
    assert list(captions(tmp_path / "left" / "train_desc.json")) == [ids[1]]


def test_webvid_videos_are_in_folders_of_pages(tmp_path: Path) -> None:
    ids = write("webvid", tmp_path / "source")
    assert ids[1] == "000001_000001/1"
    convert("webvid", tmp_path / "source", tmp_path / "out", media=media(tmp_path / "v", *(f"{name}.mp4" for name in ids)))
    assert captions(tmp_path / "out" / "train_desc.json") == {ids[0]: ["A man sings."], ids[1]: ["a dog runs"]}
    assert list(captions(tmp_path / "out" / "val_desc.json")) == ids[2:]
    convert("webvid", tmp_path / "source", tmp_path / "flat", layout="flat")
    assert list(captions(tmp_path / "flat" / "train_desc.json")) == ["0", "1"]


def test_a_shard_begins_after_so_many_rows(tmp_path: Path) -> None:
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / "cc12m.tsv").write_text("".join(f"https://{n}\tcaption {n}\n" for n in range(25)))
    convert("cc12m", tmp_path / "source", tmp_path / "out", samples_per_shard=10)
    assert list(captions(tmp_path / "out" / "train_desc.json"))[9:12] == ["00000/000009", "00001/000010", "00001/000011"]
