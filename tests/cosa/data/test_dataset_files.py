"""Annotations of a dataset as they are trained and evaluated on."""

import json
from pathlib import Path

import pytest

from cosa.data.dataset_files import DatasetFiles, caption_references, evaluated_clips


def dataset(folder: Path, entries: list[dict[str, object]]) -> DatasetFiles:
    (folder / "test.json").write_text("[" + ",\n".join(map(json.dumps, entries)) + "]")
    return DatasetFiles("own", "image", str(folder), None, {"test": {"captions": str(folder / "test.json")}})


@pytest.mark.parametrize(
    "entries",
    [
        [{"video_id": "b", "desc": ["x", "y", "z"]}, {"video_id": "a", "desc": "w"}],
        [
            {"video_id": "b", "desc": "x"},
            {"video_id": "a", "desc": "w"},
            {"video_id": "b", "desc": ["y"]},
            {"video_id": "b", "desc": "z"},
        ],
    ],
)
def test_entries_of_a_clip_are_evaluated_as_one(tmp_path: Path, entries: list[dict[str, object]]) -> None:
    own = dataset(tmp_path, entries)
    clips = [(entry.video_id, entry.captions) for entry in evaluated_clips(own, "test")]
    assert clips == [("b", ("x", "y", "z")), ("a", ("w",))]
    assert caption_references(own, "test") == dict(clips)
