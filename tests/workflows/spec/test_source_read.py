"""What a plan says of authors' files."""

from pathlib import Path

import pytest

from cosa.errors import DataError
from tests.cosa.datasets.authors.samples import write
from workflows.cluster.nodes import shared_paths
from workflows.cluster.submission import travelling_spec
from workflows.planning.digests import FileDigests
from workflows.planning.plan import Plan, make_plan
from workflows.spec.load import load_spec

SPEC = """\
name: authors
datasets:
  clips: {media: video, made_by: annotations, root: media, splits: {train: train_descs_ret.json, test: test_descs_ret.json}}
stages:
  annotations: {kind: prepare, converter: msrvtt, options: {source: data/msrvtt, media: data/videos}}
  frames: {kind: extract, dataset: clips}
"""


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("spec.yaml").write_text(SPEC)
    Path("data/videos").mkdir(parents=True)
    Path("data/videos/video0.mp4").write_bytes(b"clip")
    write("msrvtt", Path("data/msrvtt"))
    return tmp_path


def planned(*overrides: str) -> Plan:
    return make_plan(load_spec(Path("spec.yaml"), list(overrides)))


def fingerprint(*overrides: str) -> str:
    return str(planned(*overrides).steps[0].fingerprint)


def test_files_that_are_missing_are_named_before_anything_runs() -> None:
    assert not planned().missing
    Path("data/msrvtt/MSRVTT_JSFUSION_test.csv").unlink()
    [line] = planned().missing
    assert line.startswith("stages.annotations.options.source: no file ")
    assert "MSRVTT_JSFUSION_test.csv" in line
    lines = planned("stages.annotations.options.source=nowhere", "stages.annotations.options.media=neither").missing
    assert [line.partition(",")[0].rpartition("/")[2] for line in lines] == ["nowhere", "neither"]


def test_only_files_that_can_be_media_count(tmp_path: Path) -> None:
    """What a folder of media alone gives is what it gave when all files counted."""
    before, digest = fingerprint(), planned().steps[0].read["options.media"].digest
    assert digest == FileDigests(tmp_path / "cache").of_folder(Path("data/videos"))
    for name in ("README", "README.md", "video1.mp4.part", ".DS_Store", "notes/list.txt"):
        Path("data/videos", name).parent.mkdir(exist_ok=True)
        Path("data/videos", name).write_text("no media")
    assert fingerprint() == before
    Path("data/videos/notes/video1.MP4").write_bytes(b"clip")
    assert fingerprint() != before


@pytest.mark.parametrize(("converter", "option", "name"), [("mscoco", "media", "new.png"), ("msrvtt", "frames", "v/new.jpg")])
def test_images_and_frames_are_media_of_their_converters(converter: str, option: str, name: str) -> None:
    from cosa.datasets.converters import CONVERTERS

    needs = {need.option: need for need in CONVERTERS[converter].needs({option: "data/videos"})}
    suffixes = needs[option].suffixes
    assert Path(name).suffix in suffixes
    assert not {".mp4", ".part", ".txt"} & suffixes
    assert ("" in suffixes) == (option == "media"), "an image may have no suffix"


def test_only_files_that_are_read_count_and_their_content_does() -> None:
    before = fingerprint()
    Path("data/msrvtt/a-terabyte.mp4").write_bytes(b"not read")
    Path("data/msrvtt/train_qa.json").write_text("[]")  # of another variant
    assert fingerprint() == before
    path = Path("data/msrvtt/test_videodatainfo.json")
    path.write_text(path.read_text().replace("a red car", "a blue car"))
    assert fingerprint() != before


def test_where_files_are_does_not_count_but_media_do() -> None:
    before = fingerprint()
    Path("data/msrvtt").rename("moved")
    Path("moved/annotation").mkdir()
    Path("moved/test_videodatainfo.json").rename("moved/annotation/test_videodatainfo.json")
    assert fingerprint("stages.annotations.options.source=moved") == before
    assert fingerprint("stages.annotations.options.source=moved", "stages.annotations.options.missing=leave_out") != before
    Path("data/videos/video1.mp4").write_bytes(b"another")
    assert fingerprint("stages.annotations.options.source=moved") != before


def test_an_unknown_variant_is_a_mistake_in_the_spec() -> None:
    with pytest.raises(Exception, match="Input should be 'retrieval'"):
        planned("stages.annotations.options.variant=retrival")


def test_a_damaged_archive_is_named() -> None:
    Path("data/msrvtt/MSRVTT_JSFUSION_test.csv").unlink()
    Path("data/msrvtt/msrvtt_data.zip").write_bytes(b"PK")
    with pytest.raises(DataError, match=r"msrvtt_data\.zip is not an archive that can be read"):
        planned()


def test_the_folder_travels_to_other_machines() -> None:
    experiment = load_spec(Path("spec.yaml"), [f"storage={Path.cwd() / 'storage'}"])
    options = travelling_spec(experiment)["stages"]["annotations"]["options"]
    assert options == {"source": str(Path("data/msrvtt").absolute()), "media": str(Path("data/videos").absolute())}
    assert set(shared_paths(experiment)) == set(options.values())
