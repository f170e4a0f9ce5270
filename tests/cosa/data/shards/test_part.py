"""Parts of splits in shards: which samples they have, for training and for evaluation."""

from pathlib import Path

import numpy as np
import pytest

from cosa.data.dataset_files import (
    DatasetFiles,
    DatasetShards,
    caption_entries,
    caption_references,
    caption_samples,
    evaluated_clips,
    question_entries,
)
from cosa.data.sample import Sample
from cosa.data.shards.index import ShardIndex
from cosa.data.shards.part import chosen_rows
from cosa.data.split_reading import SplitReading
from cosa.errors import UserError
from tests.cosa.data.shards.made import sample, write_shards, write_tar
from tests.cosa.data.shards.test_media import indexed

SIZES = [5, 0, 7, 3, 25]


@pytest.fixture
def paths(tmp_path: Path) -> list[str]:
    write_shards(tmp_path / "shards", 5, SIZES)
    return sorted(map(str, (tmp_path / "shards").iterdir()))


def dataset(folder: Path, paths: list[str], **reading: object) -> DatasetFiles:
    index = folder / "index" if (folder / "index").is_dir() else indexed(folder, {"train": paths})
    return DatasetFiles(
        "web", "image", "", None, {"train": {}}, shards=DatasetShards(str(index), {"train": paths}),
        reading={"train": SplitReading(**reading)},
    )  # fmt: skip


def test_a_smaller_part_lies_in_a_larger_one(tmp_path: Path, paths: list[str]) -> None:
    every = list(caption_samples(dataset(tmp_path, paths), "train"))
    before: list[Sample] = []
    for limit in (1, 7, 20, 39):
        table = caption_samples(dataset(tmp_path, paths, limit=limit), "train")
        found = list(table)
        assert len(table) == len(found) == limit
        assert [one for one in every if one in found] == found  # in the stored order
        assert all(one in found for one in before)
        of_shards = [sum(one.media_id.startswith(f"{shard:05d}.tar/") for one in found) for shard in range(5)]
        assert table.shard_sizes == of_shards
        assert [table.text(place, "caption") for place in range(limit)] == [one.caption for one in found]
        before = found
    for fields in ({"limit": 40}, {"limit": 99}, {"fraction": 1.0}):
        assert list(caption_samples(dataset(tmp_path, paths, **fields), "train")) == every
    assert len(caption_samples(dataset(tmp_path, paths, fraction=0.25), "train")) == 10


def test_names_of_shards_do_not_decide(tmp_path: Path, paths: list[str]) -> None:
    moved = [str(path) for number, path in enumerate(paths)]
    (tmp_path / "other").mkdir()
    for number, path in enumerate(paths):
        moved[number] = str(Path(path).rename(tmp_path / "other" / f"{9 - number}x.tar"))
    found = caption_samples(dataset(tmp_path, moved, limit=9), "train")
    (tmp_path / "again").mkdir()
    write_shards(tmp_path / "shards", 5, SIZES)
    same = caption_samples(dataset(tmp_path / "again", paths, limit=9), "train")
    assert [one.caption for one in found] == [one.caption for one in same]


def test_equal_keys_of_several_shards_are_told_apart(tmp_path: Path) -> None:
    paths = [str(write_tar(tmp_path / f"{shard}.tar", [*sample("a", shard), *sample("b", 9)])) for shard in range(4)]
    index = ShardIndex(indexed(tmp_path, {"train": paths}), "train")
    for limit in range(1, 8):
        rows = chosen_rows(index, SplitReading(limit=limit))
        assert rows is not None
        assert len(rows) == len(np.unique(rows)) == limit
    assert chosen_rows(index, SplitReading(limit=8)) is None


def test_evaluation_reads_the_samples_that_training_reads(tmp_path: Path, paths: list[str]) -> None:
    for reading in ({}, {"limit": 11}):
        files = dataset(tmp_path, paths, **reading)
        samples = list(caption_samples(files, "train"))
        clips = evaluated_clips(files, "train")
        assert [(clip.video_id, *clip.captions) for clip in clips] == [(one.media_id, one.caption) for one in samples]
        assert caption_references(files, "train") == {one.media_id: (one.caption,) for one in samples}
        assert caption_entries(files, "train") == clips
    assert files.part_of("train", "captions") == " of 40 (limit 11)"
    with pytest.raises(UserError, match=r"splits\.train has no questions: file"):
        question_entries(files, "train")
