import json
import zipfile
from pathlib import Path

import pytest

from cosa.data.annotations import load_references
from cosa.errors import DataError
from tests.cosa.datasets.authors.samples import captions, convert, coverage, questions, write


@pytest.fixture
def source(tmp_path: Path) -> Path:
    write("msrvtt", tmp_path / "msrvtt")
    return tmp_path / "msrvtt"


def test_retrieval_trains_on_all_clips_that_are_not_among_the_thousand(source: Path, tmp_path: Path) -> None:
    assert convert("msrvtt", source, tmp_path / "out") == {"train_captions": 6, "test_captions": 2}
    trained = captions(tmp_path / "out" / "train_descs_ret.json")
    assert trained == {
        "video0": ["A man sings.", "a singer on a stage"],
        "video1": ["a dog runs", "a dog plays"],
        "video2": ["a cat sleeps", "the cat is asleep"],
    }
    assert captions(tmp_path / "out" / "test_descs_ret.json") == {"video3": ["two people cook"], "video4": ["a car drives by"]}


def test_the_7k_training_set_leaves_out_official_test_clips(source: Path, tmp_path: Path) -> None:
    table = source / "MSRVTT_JSFUSION_test.csv"
    table.write_text("".join(table.read_text().splitlines(keepends=True)[:2]))  # only video3 is tested
    convert("msrvtt", source, tmp_path / "9k")
    convert("msrvtt", source, tmp_path / "7k", variant="retrieval-7k")
    assert list(captions(tmp_path / "9k" / "train_descs_ret.json")) == ["video0", "video1", "video2", "video4"]
    assert list(captions(tmp_path / "7k" / "train_descs_ret.json")) == ["video0", "video1", "video2"]


def test_captioning_follows_the_official_splits(source: Path, tmp_path: Path) -> None:
    convert("msrvtt", source, tmp_path / "out", variant="captioning")
    assert list(captions(tmp_path / "out" / "train_descs_cap.json")) == ["video0", "video1"]
    assert captions(tmp_path / "out" / "val_descs_cap.json") == {"video2": ["a cat sleeps", "the cat is asleep"]}
    tested = captions(tmp_path / "out" / "test_descs_cap.json")
    assert list(tested) == ["video3", "video4"]
    assert load_references(tmp_path / "out" / "cap_anno.json") == {clip: tuple(texts) for clip, texts in tested.items()}


def test_questions_name_clips_by_number(source: Path, tmp_path: Path) -> None:
    convert("msrvtt", source, tmp_path / "out", variant="qa")
    trained = questions(tmp_path / "out" / "trainval_descs_qa.json")
    assert [(entry.video_id, entry.question, entry.answers) for entry in trained] == [
        ("video0", "who sings ?", ("man",)),
        ("video0", "where ?", ("stage",)),
        ("video1", "what runs ?", ("dog",)),
        ("video2", "what sleeps ?", ("cat",)),
    ]
    assert [entry.question_id for entry in questions(tmp_path / "out" / "test_descs_qa.json")] == ["300", "400", "401"]


def test_the_file_that_holds_both_parts_is_enough(source: Path, tmp_path: Path) -> None:
    convert("msrvtt", source, tmp_path / "parts")
    parts = [json.loads((source / name).read_text()) for name in ("train_val_videodatainfo.json", "test_videodatainfo.json")]
    both = {key: parts[0][key] + parts[1][key] for key in ("videos", "sentences")}
    for name in ("train_val_videodatainfo.json", "test_videodatainfo.json"):
        (source / name).unlink()
    with zipfile.ZipFile(source / "msrvtt_data.zip", "w") as archive:
        archive.writestr("msrvtt_data/MSRVTT_data.json", json.dumps({"info": {}, **both}))
    convert("msrvtt", source, tmp_path / "together")
    for name in ("train_descs_ret.json", "test_descs_ret.json"):
        assert (tmp_path / "together" / name).read_bytes() == (tmp_path / "parts" / name).read_bytes()
    assert coverage(tmp_path / "together")["read"]["MSRVTT_data.json"] == "msrvtt_data.zip:msrvtt_data/MSRVTT_data.json"


def test_the_file_of_frozen_in_time_is_enough(source: Path, tmp_path: Path) -> None:
    names = {f"video{number}": f"video{6510 + 250 * number}" for number in range(5)}  # across the ends of the official splits
    annotations = []
    for file in ("train_val_videodatainfo.json", "test_videodatainfo.json"):
        for sentence in json.loads((source / file).read_text())["sentences"]:
            annotations.append(
                {"image_id": names[sentence["video_id"]], "caption": sentence["caption"], "id": len(annotations)}
            )
        (source / file).unlink()
    content = {"images": [{"id": name} for name in names.values()], "annotations": annotations}
    (source / "annotation").mkdir()
    (source / "annotation" / "MSR_VTT.json").write_text(json.dumps(content))
    convert("msrvtt", source, tmp_path / "out", variant="captioning")
    found = {split: list(captions(tmp_path / "out" / f"{split}_descs_cap.json")) for split in ("train", "val", "test")}
    assert found == {"train": ["video6510"], "val": ["video6760"], "test": ["video7010", "video7260", "video7510"]}


def test_missing_files_are_named(source: Path, tmp_path: Path) -> None:
    (source / "test_videodatainfo.json").unlink()
    (source / "MSRVTT_JSFUSION_test.csv").unlink()
    with pytest.raises(DataError, match=r"lacks test_videodatainfo\.json, MSRVTT_JSFUSION_test\.csv \(MSR-VTT, retrieval\)"):
        convert("msrvtt", source, tmp_path / "out")
    assert not list((tmp_path / "out").iterdir())


def test_a_record_of_another_form_is_named(source: Path, tmp_path: Path) -> None:
    path = source / "test_videodatainfo.json"
    path.write_text(path.read_text().replace('"caption": "a red car"', '"text": "a red car"'))
    with pytest.raises(DataError, match=r"test_videodatainfo\.json, record 4: the field 'caption' is missing"):
        convert("msrvtt", source, tmp_path / "out")
    assert not list((tmp_path / "out").iterdir())


def test_a_test_clip_without_captions_is_named(source: Path, tmp_path: Path) -> None:
    table = source / "MSRVTT_JSFUSION_test.csv"
    table.write_text(table.read_text().replace("video4", "video7020"))
    with pytest.raises(
        DataError, match=r"JSFUSION_test\.csv, line 3: .*1 clips are not among those with captions, such as video7020"
    ):
        convert("msrvtt", source, tmp_path / "out")
