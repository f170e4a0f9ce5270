"""What all converters of authors' files share, shown with MSR-VTT."""

import json
from pathlib import Path

import pytest

from cosa.datasets.authors.coverage import published_sizes
from cosa.datasets.converters import CONVERTERS, CORPORA
from cosa.errors import DataError
from tests.cosa.datasets.authors.samples import captions, convert, coverage, write


@pytest.fixture
def source(tmp_path: Path) -> Path:
    write("msrvtt", tmp_path / "msrvtt")
    return tmp_path / "msrvtt"


def change_captions(source: Path, **changed: str) -> None:
    path = source / "train_val_videodatainfo.json"
    content = json.loads(path.read_text())
    for sentence in content["sentences"]:
        sentence["caption"] = changed.get(f"s{sentence['sen_id']}", sentence["caption"])
    path.write_text(json.dumps(content))


def media(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return folder


def test_the_report_compares_with_published_sizes(source: Path, tmp_path: Path) -> None:
    convert("msrvtt", source, tmp_path / "out")
    report = coverage(tmp_path / "out")
    trained = report["files"][0]
    assert (trained["file"], trained["captions"], trained["media"]) == ("train_descs_ret.json", 6, 3)
    assert (trained["published"]["captions"], trained["published"]["media"]) == (180000, 9000)
    assert "train_descs_ret.json: 3 media, published 9,000" in report["remarks"]
    assert CONVERTERS["msrvtt"].report(tmp_path / "out", {}) == report


def test_blank_and_repeated_texts_are_counted(source: Path, tmp_path: Path) -> None:
    change_captions(source, s0=" \n", s1="a \ud800", s21="a dog  runs")
    convert("msrvtt", source, tmp_path / "out")
    trained = coverage(tmp_path / "out")["files"][0]
    assert trained["empty"] == {"count": 1, "names": ["video0"]}
    assert (trained["captions"], trained["repeated"]) == (4, 1)
    assert "video0" not in captions(tmp_path / "out" / "train_descs_ret.json")


def test_overlap_of_training_and_test_is_noted(source: Path, tmp_path: Path) -> None:
    path = source / "train_qa.json"
    content = json.loads(path.read_text())
    content.append({**content[0], "video_id": 4, "id": 9999})
    path.write_text(json.dumps(content))
    convert("msrvtt", source, tmp_path / "out", variant="qa")
    note = "1 clips or images of test_descs_qa.json are also in trainval_descs_qa.json"
    assert note in coverage(tmp_path / "out")["remarks"]


def test_media_are_found_in_folders_below_and_linked(source: Path, tmp_path: Path) -> None:
    videos = media(tmp_path / "videos", *(f"all/video{number}.mp4" for number in range(4)), "video4.webm")
    convert("msrvtt", source, tmp_path / "out", media=str(videos))
    assert list(captions(tmp_path / "out" / "train_descs_ret.json")) == ["all/video0", "all/video1", "all/video2"]
    assert list(captions(tmp_path / "out" / "test_descs_ret.json")) == ["all/video3", "video4"]
    assert (tmp_path / "out" / "media").resolve() == videos.resolve()


def test_missing_media_are_an_error_that_names_them_unless_they_may_be_left_out(source: Path, tmp_path: Path) -> None:
    videos = media(tmp_path / "videos", *(f"video{number}.mp4" for number in range(4)))
    with pytest.raises(DataError, match=r"lacks 1 clips that test_descs_ret\.json would name: video4; .*missing: leave_out"):
        convert("msrvtt", source, tmp_path / "out", media=str(videos))
    assert not list((tmp_path / "out").iterdir())
    convert("msrvtt", source, tmp_path / "left", media=str(videos), missing="leave_out")
    assert list(captions(tmp_path / "left" / "test_descs_ret.json")) == ["video3"]
    tested = coverage(tmp_path / "left")["files"][1]
    assert tested["missing"] == {"count": 1, "names": ["video4"]}
    assert "test_descs_ret.json: left out 1 (video4), which have no file" in coverage(tmp_path / "left")["remarks"]


def test_two_files_of_one_name_are_an_error(source: Path, tmp_path: Path) -> None:
    videos = media(tmp_path / "videos", *(f"a/video{number}.mp4" for number in range(5)), "b/video3.mp4")
    with pytest.raises(DataError, match=r"'video3' may be .*a/video3 or .*b/video3; remove one"):
        convert("msrvtt", source, tmp_path / "out", media=str(videos))


def test_frames_that_exist_are_looked_for_as_folders(source: Path, tmp_path: Path) -> None:
    for number in range(4):
        (tmp_path / "frames" / f"video{number}").mkdir(parents=True)
    with pytest.raises(DataError, match="video4"):
        convert("msrvtt", source, tmp_path / "out", frames=str(tmp_path / "frames"))


def test_files_that_exist_are_not_overwritten(source: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "test_descs_ret.json").write_text("mine")
    with pytest.raises(DataError, match=r"holds 'test_descs_ret\.json' already"):
        CONVERTERS["msrvtt"].run(tmp_path / "out", {"source": str(source)})
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["test_descs_ret.json"]
    assert (tmp_path / "out" / "test_descs_ret.json").read_text() == "mine"


def test_identifiers_cannot_lead_outside(source: Path, tmp_path: Path) -> None:
    for path in source.iterdir():
        path.write_text(path.read_text().replace("video3", "../video3"))
    with pytest.raises(DataError, match=r"media identifier '\.\./video3' leads out of the media folder"):
        convert("msrvtt", source, tmp_path / "out")


@pytest.mark.parametrize("damaged", ["", "{", '{"sentences": [{}', '{"sentences": [{} {}]}', "[]"])
def test_damaged_files_are_named(source: Path, tmp_path: Path, damaged: str) -> None:
    (source / "test_videodatainfo.json").write_text(damaged)
    with pytest.raises(DataError, match=r"test_videodatainfo\.json"):
        convert("msrvtt", source, tmp_path / "out")


def test_damaged_archives_are_named(source: Path, tmp_path: Path) -> None:
    (source / "MSRVTT_JSFUSION_test.csv").unlink()
    (source / "msrvtt_data.zip").write_bytes(b"PK nothing")
    with pytest.raises(DataError, match=r"msrvtt_data\.zip is not an archive that can be read"):
        convert("msrvtt", source, tmp_path / "out")


def test_every_corpus_says_what_it_needs_and_how_large_it_is() -> None:
    for name, module in CORPORA.items():
        assert module.CORPUS.home.startswith("https://")
        assert module.CORPUS.terms
        assert set(published_sizes()[name]) <= set(module.CORPUS.variants)
        for files in published_sizes()[name].values():
            for file, sizes in files.items():
                assert sizes["source"], (name, file)
    assert set(published_sizes()) == set(CORPORA)
