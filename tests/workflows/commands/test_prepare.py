import json
from pathlib import Path

import pytest

from cosa.errors import DataError, UserError
from tests.cosa.datasets.authors.samples import write
from workflows.commands.prepare import prepare, show_sources
from workflows.spec.problems import UsageError


@pytest.fixture
def source(tmp_path: Path) -> Path:
    write("msrvtt", tmp_path / "msrvtt")
    return tmp_path / "msrvtt"


def test_it_writes_annotations_and_says_how_many(source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    prepare("msrvtt", tmp_path / "made" / "here", {"source": str(source), "variant": "captioning"})
    shown = capsys.readouterr().out
    assert "test_descs_cap.json" in shown
    assert "4 captions" in shown
    assert "59,800 captions, 2,990" in shown  # "media" is on the next line of a narrow terminal.
    assert "note: train_descs_cap.json: 2 media, published 6,513" in shown
    assert (tmp_path / "made" / "here" / "cap_anno.json").is_file()


def test_json_is_the_report(source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    prepare("msrvtt", tmp_path / "out", {"source": str(source)}, as_json=True)
    assert json.loads(capsys.readouterr().out) == json.loads((tmp_path / "out" / "coverage.json").read_text())


def test_a_failure_leaves_no_folder_and_no_file(source: Path, tmp_path: Path) -> None:
    (source / "test_videodatainfo.json").unlink()
    (tmp_path / "there").mkdir()
    for out in ("new", "there"):
        with pytest.raises(DataError, match="lacks test_videodatainfo"):
            prepare("msrvtt", tmp_path / out, {"source": str(source)})
    assert not (tmp_path / "new").exists()
    assert not list((tmp_path / "there").iterdir())


def test_a_folder_that_cannot_be_made_is_a_users_mistake(source: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="file"):
        prepare("msrvtt", tmp_path / "file" / "out", {"source": str(source)})


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("msrvt", {}, "no such converter; did you mean 'msrvtt'?"),
        ("msrvtt", {}, "source: Field required"),
        ("msrvtt", {"source": ".", "varient": "qa"}, "varient: unknown option; did you mean 'variant'?"),
        ("msrvtt", {"source": ".", "variant": "q"}, "Input should be 'retrieval', 'retrieval-7k', 'captioning' or 'qa'"),
    ],
)
def test_wrong_names_are_reported(tmp_path: Path, name: str, options: dict[str, str], message: str) -> None:
    with pytest.raises(UsageError) as caught:
        prepare(name, tmp_path / "out", options)
    assert message in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_other_converters_run_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = {"images": "2", "train_clips": "1", "validation_clips": "1", "test_clips": "1", "workers": "1"}
    prepare("demo", tmp_path / "out", options)
    assert "2 images" in capsys.readouterr().out
    assert (tmp_path / "out" / "images_train.json").is_file()


def test_the_list_names_files_and_pages(capsys: pytest.CaptureFixture[str]) -> None:
    show_sources()
    lines = [line.split("\t") for line in capsys.readouterr().out.splitlines()]
    assert ["msrvtt", "qa", "MSRVTT-QA"] in [line[:3] for line in lines]
    assert all(line[4].startswith("https://") for line in lines)
    show_sources(as_json=True)
    listed = json.loads(capsys.readouterr().out)
    assert {one["converter"] for one in listed} == {line[0] for line in lines}
    [vatex] = [one for one in listed if one["converter"] == "vatex"]
    assert vatex["variants"][1]["files"][2]["names"] == ["tst_names.npy", "test_list.txt"]
