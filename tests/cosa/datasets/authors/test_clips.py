"""Converters of clips, on a few records in their authors' layout."""

import csv
import json
import tarfile
from pathlib import Path

import numpy as np
import pytest

from cosa.data.annotations import load_references
from cosa.errors import DataError
from tests.cosa.datasets.authors.samples import CLIPS, captions, convert, coverage, questions, write

TEXTS = {clip.number: [" ".join(text.split()) for text in clip.captions] for clip in CLIPS}


def asked(*numbers: int) -> list[tuple[str, tuple[str, ...]]]:
    return [(question, (answer,)) for number in numbers for question, answer in CLIPS[number].questions]


def found(path: Path) -> list[tuple[str, tuple[str, ...]]]:
    return [(entry.question, entry.answers) for entry in questions(path)]


def rewrite(path: Path, *replacements: tuple[str, str]) -> None:
    text = path.read_text()
    for old, new in replacements:
        assert old in text
        text = text.replace(old, new)
    path.write_text(text)


def media(folder: Path, *names: str) -> str:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return str(folder)


# -- MSVD -----------------------------------------------------------------------------------------------------------------


def test_msvd_captions_follow_the_lists(tmp_path: Path) -> None:
    ids = write("msvd", tmp_path / "source")
    convert("msvd", tmp_path / "source", tmp_path / "out")
    assert captions(tmp_path / "out" / "train_desc.json") == {ids[number]: TEXTS[number] for number in (0, 1)}
    tested = {ids[number]: TEXTS[number] for number in (3, 4)}
    assert captions(tmp_path / "out" / "test_desc.json") == tested
    assert load_references(tmp_path / "out" / "cap_anno.json") == {clip: tuple(texts) for clip, texts in tested.items()}


def test_msvd_reads_english_captions_of_microsofts_table(tmp_path: Path) -> None:
    ids = write("msvd", tmp_path / "source")
    (tmp_path / "source" / "AllVideoDescriptions.txt").unlink()
    with (tmp_path / "source" / "MSR Video Description Corpus.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["VideoID", "Start", "End", "WorkerID", "Source", "AnnotationTime", "Language", "Description"])
        for clip_id, clip in zip(ids, CLIPS, strict=True):
            name, start, end = clip_id.rsplit("_", 2)
            rows.writerow([name, start, end, 1, "clean", 16, "English", f'he says "{clip.captions[0]}", twice'])
            rows.writerow([name, start, end, 2, "unverified", 16, "Slovene", "neki"])
    convert("msvd", tmp_path / "source", tmp_path / "out")
    assert captions(tmp_path / "out" / "test_desc.json")[ids[3]] == ['he says "two people cook", twice']


def test_msvd_questions_find_names_of_clips_by_their_numbers(tmp_path: Path) -> None:
    ids = write("msvd", tmp_path / "source")
    convert("msvd", tmp_path / "source", tmp_path / "out", variant="qa")
    assert found(tmp_path / "out" / "trainval_desc_qa.json") == asked(0, 1, 2)
    assert [entry.video_id for entry in questions(tmp_path / "out" / "test_desc_qa.json")] == [ids[3], ids[4], ids[4]]


# -- paragraphs -----------------------------------------------------------------------------------------------------------


def test_didemo_joins_sentences_in_the_order_of_the_file(tmp_path: Path) -> None:
    ids = write("didemo", tmp_path / "source")
    convert("didemo", tmp_path / "source", tmp_path / "out")
    assert captions(tmp_path / "out" / "test_desc.json") == {ids[number]: [" ".join(TEXTS[number])] for number in (3, 4)}


def test_didemo_takes_the_clips_of_the_lists_and_all_without_them(tmp_path: Path) -> None:
    ids = write("didemo", tmp_path / "source")
    names = tmp_path / "source" / "test_list.txt"
    names.write_text(names.read_text().splitlines()[0] + "\n")
    convert("didemo", tmp_path / "source", tmp_path / "listed")
    names.unlink()
    convert("didemo", tmp_path / "source", tmp_path / "all")
    assert list(captions(tmp_path / "listed" / "test_desc.json")) == [ids[3]]
    assert list(captions(tmp_path / "all" / "test_desc.json")) == [ids[3], ids[4]]


def test_didemo_finds_clips_under_the_names_that_scripts_give_them(tmp_path: Path) -> None:
    """The authors' script for AWS appends .mp4 to names that end in .mov, or in a full stop."""
    ids = write("didemo", tmp_path / "source")
    for name in ("test_data.json", "test_list.txt"):
        rewrite(tmp_path / "source" / name, (f"{ids[4]}.mov", f"{ids[4]}."))
    stored = [f"{ids[0]}.mov", f"{ids[1]}.mp4", f"{ids[2]}.mov.mp4", f"{ids[3]}.mov.mp4", f"{ids[4]}..mp4"]
    convert("didemo", tmp_path / "source", tmp_path / "out", media=media(tmp_path / "videos", *stored))
    assert list(captions(tmp_path / "out" / "train_desc.json")) == [ids[0], ids[1]]
    assert list(captions(tmp_path / "out" / "test_desc.json")) == [f"{ids[3]}.mov", f"{ids[4]}."]


def test_activitynet_joins_sentences_and_tests_on_val_1(tmp_path: Path) -> None:
    ids = write("activitynet", tmp_path / "source")
    rewrite(tmp_path / "source" / "val_1.json", ("two people cook", " two people cook "))
    convert("activitynet", tmp_path / "source", tmp_path / "out")
    assert captions(tmp_path / "out" / "test_desc.json") == {ids[number]: [" ".join(TEXTS[number])] for number in (3, 4)}


def test_activitynet_questions_have_their_answers_whatever_the_order(tmp_path: Path) -> None:
    ids = write("activitynet", tmp_path / "source")
    answers = tmp_path / "source" / "test_a.json"
    answers.write_text(json.dumps([{**one, "type": 3} for one in reversed(json.loads(answers.read_text()))]))
    convert("activitynet", tmp_path / "source", tmp_path / "out", variant="qa")
    assert found(tmp_path / "out" / "test_desc_qa.json") == asked(3, 4)
    first = questions(tmp_path / "out" / "test_desc_qa.json")[0]
    assert (first.video_id, first.question_id, first.question_type) == (ids[3], f"{ids[3]}_1", "yes/no")


def test_activitynet_finds_videos_without_the_prefix_of_their_names(tmp_path: Path) -> None:
    ids = write("activitynet", tmp_path / "source")
    videos = media(tmp_path / "videos", *(f"{name}.mp4" for name in ids[:4]), f"{ids[4].removeprefix('v_')}.mkv")
    convert("activitynet", tmp_path / "source", tmp_path / "out", media=videos)
    assert list(captions(tmp_path / "out" / "test_desc.json")) == [ids[3], "sample00004"]


# -- sentences ------------------------------------------------------------------------------------------------------------


def test_lsmdc_clips_may_have_several_sentences_and_lie_in_folders_of_films(tmp_path: Path) -> None:
    ids = write("lsmdc", tmp_path / "source")
    table = tmp_path / "source" / "LSMDC16_annos_training.csv"
    row = table.read_text().splitlines()[0].split("\t")
    table.write_text(table.read_text() + "\t".join([*row[:-1], 'SOMEONE says "no".']) + "\n")
    videos = media(tmp_path / "videos", *(f"0001_Sample_Film/{name}.avi" for name in ids))
    convert("lsmdc", tmp_path / "source", tmp_path / "out", media=videos)
    trained = captions(tmp_path / "out" / "trainval_desc.json")
    assert trained[f"0001_Sample_Film/{ids[0]}"] == ["A man sings.", 'SOMEONE says "no".']
    assert list(trained)[2] == f"0001_Sample_Film/{ids[2]}"


def test_lsmdc_names_a_line_with_another_number_of_fields(tmp_path: Path) -> None:
    write("lsmdc", tmp_path / "source")
    rewrite(tmp_path / "source" / "LSMDC16_annos_val.csv", ("\ta cat", "\t\ta cat"))
    with pytest.raises(DataError, match=r"LSMDC16_annos_val\.csv, line 1: .*found 7 fields, expected 6"):
        convert("lsmdc", tmp_path / "source", tmp_path / "out")


def test_vatex_captions_train_on_two_splits(tmp_path: Path) -> None:
    ids = write("vatex", tmp_path / "source")
    convert("vatex", tmp_path / "source", tmp_path / "out")
    assert list(captions(tmp_path / "out" / "trainval_desc.json")) == ids  # of the stand-in; the true test split is apart
    assert captions(tmp_path / "out" / "test_desc.json") == {ids[number]: TEXTS[number] for number in (3, 4)}


@pytest.mark.parametrize("form", ["text", "numpy"])
def test_vatex_retrieval_tests_on_listed_clips_of_the_validation_split(tmp_path: Path, form: str) -> None:
    ids = write("vatex", tmp_path / "source")
    if form == "numpy":
        (tmp_path / "source" / "test_list.txt").unlink()
        (tmp_path / "source" / "public_split").mkdir()
        np.save(tmp_path / "source" / "public_split" / "tst_names.npy", np.array([ids[4], ids[3]]))
    convert("vatex", tmp_path / "source", tmp_path / "out", variant="retrieval")
    tested = captions(tmp_path / "out" / "test_desc_ret.json")
    assert list(tested) == ([ids[4], ids[3]] if form == "numpy" else [ids[3], ids[4]])
    assert list(captions(tmp_path / "out" / "val_desc_ret.json")) == [ids[2]]
    assert list(captions(tmp_path / "out" / "train_desc.json")) == [ids[0], ids[1]]


def test_a_pickled_list_is_refused(tmp_path: Path) -> None:
    write("vatex", tmp_path / "source")
    np.save(tmp_path / "source" / "tst_names.npy", np.array(["a", None], dtype=object), allow_pickle=True)
    with pytest.raises(DataError, match=r"tst_names\.npy holds no plain array of names"):
        convert("vatex", tmp_path / "source", tmp_path / "out", variant="retrieval")


def test_youcook2_steps_are_clips_and_their_segments_are_listed(tmp_path: Path) -> None:
    ids = write("youcook2", tmp_path / "source")
    path = tmp_path / "source" / "youcookii_annotations_trainval.json"
    content = json.loads(path.read_text())
    step = {"segment": [25, 37], "id": 1, "sentence": "cut the onion"}
    content["database"]["sample00000"]["annotations"].append(step)
    path.write_text(json.dumps(content))
    with tarfile.open(tmp_path / "source" / "youcookii_annotations_trainval.tar.gz", "w:gz") as archive:
        archive.add(path, "youcookii_annotations_trainval.json")
    path.unlink()
    convert("youcook2", tmp_path / "source", tmp_path / "out")
    trained = captions(tmp_path / "out" / "train_desc.json")
    assert trained == {ids[0]: ["A man sings."], "sample00000_1": ["cut the onion"], ids[1]: ["a dog runs"]}
    assert list(captions(tmp_path / "out" / "val_desc.json")) == ids[2:]
    with (tmp_path / "out" / "segments.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert rows[1] == {"clip": "sample00000_1", "video": "training/101/sample00000", "start": "25", "end": "37"}
    assert coverage(tmp_path / "out")["files"][-1]["rows"] == 6


def test_tvc_moments_have_several_captions(tmp_path: Path) -> None:
    ids = write("tvc", tmp_path / "source")
    convert("tvc", tmp_path / "source", tmp_path / "out")
    assert ids[0] == "sample_s01e00_seg01_clip_00_0"
    assert captions(tmp_path / "out" / "train_desc.json") == {ids[number]: TEXTS[number] for number in (0, 1)}
    assert captions(tmp_path / "out" / "val_desc.json") == {ids[number]: TEXTS[number] for number in (2, 3, 4)}


def test_tvc_names_a_damaged_line(tmp_path: Path) -> None:
    write("tvc", tmp_path / "source")
    rewrite(tmp_path / "source" / "tvc_val_release.jsonl", ("}\n", "\n"))
    with pytest.raises(DataError, match=r"tvc_val_release\.jsonl, line 1: not JSON"):
        convert("tvc", tmp_path / "source", tmp_path / "out")


def test_tgif_questions_are_separated_by_tabs_and_have_types(tmp_path: Path) -> None:
    ids = write("tgif", tmp_path / "source")
    table = tmp_path / "source" / "Test_frameqa_question.csv"
    rewrite(table, ("red\t0\tFRAMEQA400", 'a "red" one\t2\tFRAMEQA400'))
    convert("tgif", tmp_path / "source", tmp_path / "out", media=media(tmp_path / "gifs", *(f"{name}.gif" for name in ids)))
    tested = questions(tmp_path / "out" / "test_desc_qa.json")
    assert (tested[1].video_id, tested[1].answers, tested[1].question_type) == (ids[4], ('a "red" one',), "color")
    assert [entry.question_id for entry in tested] == ["FRAMEQA300", "FRAMEQA400", "FRAMEQA401"]
    assert found(tmp_path / "out" / "train_desc_qa.json") == asked(0, 1)
