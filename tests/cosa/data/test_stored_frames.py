"""The list of a dataset's clips in a store of frames."""

import json
import shutil
from pathlib import Path

import pytest

from cosa.data.extraction import extract_frames
from cosa.data.extraction_settings import ExtractionSettings
from cosa.data.stored_frames import StoredFrames, entry_of
from cosa.errors import DataError
from tests.cosa.data.drawn_videos import make_video


def filled(folder: Path) -> StoredFrames:
    video = make_video(folder / "a.mp4", frames=20)
    extract_frames(
        video, entry_of(folder / ".frames", "aa11", "fps4"), ExtractionSettings(fps=4), clip="aa11", extraction="fps4"
    )
    return StoredFrames.of(folder / ".frames", "fps4", {"first": "aa11", "again": "aa11", "gone": "bb22"})


def test_two_clips_of_the_same_content_have_the_same_frames(tmp_path: Path) -> None:
    frames = filled(tmp_path)
    assert frames.files("first") == frames.files("again")
    assert [file.path.name for file in frames.files("first")] == [f"frame_{number:04d}.jpg" for number in range(1, 9)]
    assert frames.missing(["first", "gone", "again", "unknown"]) == ["gone", "unknown"]
    with pytest.raises(DataError, match="clip 'unknown' has no extracted frames"):
        frames.files("unknown")


def test_a_list_and_its_store_can_be_moved_together(tmp_path: Path) -> None:
    (tmp_path / "storage").mkdir()
    frames = filled(tmp_path / "storage")
    path = tmp_path / "storage" / "experiment" / "frames" / "clips.arrow"
    path.parent.mkdir(parents=True)
    frames.write(path)
    shutil.move(tmp_path / "storage", tmp_path / "elsewhere")
    moved = StoredFrames.read(tmp_path / "elsewhere" / "experiment" / "frames" / "clips.arrow")
    assert (moved.extraction, moved.clips) == (frames.extraction, frames.clips)
    assert len(moved.files("first")) == 8


def test_lists_of_older_results_are_read(tmp_path: Path) -> None:
    frames = filled(tmp_path)
    path = tmp_path / "clips.json"
    path.write_text(json.dumps({"store": ".frames", "extraction": "fps4", "clips": dict(frames.clips)}))
    older = StoredFrames.read(path)
    assert (older.clips, older.extraction) == (frames.clips, "fps4")
    assert older.files("again") == frames.files("again")
    assert older.missing(["first", "gone"]) == ["gone"]


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"clips": [], "store": "", "extraction": ""}', "[" * 100_000, "\x00"])
def test_a_damaged_list_is_named(tmp_path: Path, content: str) -> None:
    path = tmp_path / "clips.json"
    path.write_text(content)
    with pytest.raises(DataError, match=r"clips\.json is damaged; make the frames again"):
        StoredFrames.read(path)
    (tmp_path / "clips.arrow").write_text(content)
    with pytest.raises(DataError, match=r"clips\.arrow is damaged; make the frames again"):
        StoredFrames.read(tmp_path / "clips.arrow")
    path.write_text(json.dumps({"clips": {}, "store": ".", "extraction": "x"}))
    assert StoredFrames.read(path).clips == {}
