"""Samples and pictures that are read by an index."""

import pickle
from pathlib import Path

import numpy as np
import pytest

from cosa.data.pictures import read_picture
from cosa.data.sample import Sample
from cosa.data.shards import index as index_module
from cosa.data.shards import open_files
from cosa.data.shards.index import IndexedShard, ShardIndex, index_file, write_rows, write_shards
from cosa.data.shards.media import ShardPictures
from cosa.data.shards.paths import short_names
from cosa.data.shards.samples import ShardSamples
from cosa.data.shards.scan import Scanning, scan_shard
from cosa.errors import DataError
from tests.cosa.data.shards.made import picture, write_tar
from tests.cosa.data.shards.made import write_shards as write_tars

IMAGE = Scanning("image")


def indexed(folder: Path, splits: dict[str, list[str]], scanning: Scanning = IMAGE) -> Path:
    """An index of shards, as the stage writes it."""
    names = iter(short_names([path for paths in splits.values() for path in paths]))
    (folder / "index").mkdir()
    shards: dict[str, list[IndexedShard]] = {}
    for split, paths in splits.items():
        scanned = [scan_shard(path, scanning) for path in paths]
        write_rows(index_file(folder / "index", split), [one.samples for one in scanned], scanning.schema)
        shards[split] = [IndexedShard(next(names), one.size, one.samples.num_rows, len(one.broken)) for one in scanned]
    write_shards(folder / "index", shards)
    return folder / "index"


@pytest.fixture
def paths(tmp_path: Path) -> list[str]:
    write_tars(tmp_path / "shards", 4, [5, 0, 7, 3])
    return sorted(map(str, (tmp_path / "shards").iterdir()))


def test_samples_are_numbered_over_all_shards(tmp_path: Path, paths: list[str]) -> None:
    samples = ShardSamples(ShardIndex(indexed(tmp_path, {"train": paths}), "train"))
    assert len(samples) == 15
    assert samples[5] == samples[-10] == Sample("00002.tar/000020000", caption="picture number 5")
    assert [sample.caption for sample in samples] == [f"picture number {number}" for number in range(15)]
    assert samples[3:6] == [samples[3], samples[4], samples[5]]
    assert samples.text(14, "caption") == "picture number 14"
    assert (samples.text(14, "question"), samples.first_without("caption"), samples.first_without("question")) == (
        "",
        None,
        samples[0].media_id,
    )
    assert samples.identities_of(np.array([4, 2])).tolist() == [4, 2]
    with pytest.raises(IndexError):
        samples[15]


def test_each_sample_has_its_own_picture(tmp_path: Path, paths: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(open_files, "OPEN_SHARDS", 2)
    monkeypatch.setattr(index_module, "MAPPED_SHARDS", 1)
    folder = indexed(tmp_path, {"train": paths})
    pictures, samples = ShardPictures(folder, {"train": paths}), ShardSamples(ShardIndex(folder, "train"))
    for number in np.random.default_rng(0).permutation(np.repeat(np.arange(15), 3)):
        (tmp_path / "expected.jpg").write_bytes(picture(int(number)))
        (found,) = pictures.files(samples[int(number)].media_id)
        assert (found.read(10_000) == read_picture(tmp_path / "expected.jpg")).all()


def test_both_are_sent_to_other_processes_without_open_files(tmp_path: Path, paths: list[str]) -> None:
    folder = indexed(tmp_path, {"train": paths})
    pictures, samples = ShardPictures(folder, {"train": paths}), ShardSamples(ShardIndex(folder, "train"))
    before = pictures.files(samples[7].media_id)[0].read(10_000)
    others, also = pickle.loads(pickle.dumps((pictures, samples)))
    assert also[7] == samples[7]
    assert (others.files(also[7].media_id)[0].read(10_000) == before).all()
    assert len(pickle.dumps((pictures, samples))) < 5000


def test_splits_and_folders_are_told_apart(tmp_path: Path) -> None:
    write_tars(tmp_path / "a", 1, 2)
    write_tar(tmp_path / "b" / "00000.tar", [("x.tar/000000000.jpg", picture(9)), ("x.tar/000000000.txt", b"nine")])
    splits = {"train": [str(tmp_path / "a" / "00000.tar")], "more": [str(tmp_path / "b" / "00000.tar")]}
    folder = indexed(tmp_path, splits)
    pictures = ShardPictures(folder, splits)
    assert ShardSamples(ShardIndex(folder, "more"))[0].media_id == "b/00000.tar/x.tar/000000000"
    assert pictures.files("b/00000.tar/x.tar/000000000")[0].path == tmp_path / "b" / "00000.tar"
    assert pictures.files("a/00000.tar/000000001")[0].path == tmp_path / "a" / "00000.tar"


def test_keys_of_equal_hashes_are_told_apart(tmp_path: Path, paths: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("index", "scan"):
        monkeypatch.setattr(f"cosa.data.shards.{module}.hash_of", lambda _: 7)
    index = ShardIndex(indexed(tmp_path, {"train": paths}), "train")
    assert [index.row_of(0, f"00000{number:04}") for number in range(6)] == [0, 1, 2, 3, 4, None]


def test_an_unknown_sample_is_refused(tmp_path: Path, paths: list[str]) -> None:
    pictures = ShardPictures(indexed(tmp_path, {"train": paths}), {"train": paths})
    for media_id in ("00000.tar/000000099", "00009.tar/000000001", "video7"):
        with pytest.raises(DataError, match=f"has no sample '{media_id}'"):
            pictures.files(media_id)


def test_a_shard_that_grew_is_refused_when_it_is_opened(tmp_path: Path, paths: list[str]) -> None:
    pictures = ShardPictures(indexed(tmp_path, {"train": paths}), {"train": paths})
    with Path(paths[2]).open("ab") as file:
        file.write(bytes(512))
    with pytest.raises(
        DataError, match=r"00002.tar was changed since it was indexed: it has \d+ bytes, and had \d+; run the same"
    ):
        pictures.files("00002.tar/000020000")[0].read(10_000)
    assert pictures.files("00000.tar/000000000")[0].read(10_000).shape == (16, 16, 3)


def test_a_changed_picture_is_refused_with_its_shard_key_and_place(tmp_path: Path, paths: list[str]) -> None:
    pictures = ShardPictures(indexed(tmp_path, {"train": paths}), {"train": paths})
    (found,) = pictures.files("00002.tar/000020003")
    with Path(paths[2]).open("r+b") as file:
        file.seek(found.offset + found.size // 2)
        file.write(b"\0")
    with pytest.raises(
        DataError, match=f"00002.tar was changed since it was indexed: at byte {found.offset} are other .*'000020003'"
    ):
        found.read(10_000)


def test_missing_shards_are_found_without_looking_at_samples(tmp_path: Path, paths: list[str]) -> None:
    pictures = ShardPictures(indexed(tmp_path, {"train": paths}), {"train": paths})
    Path(paths[3]).unlink()

    def never() -> str:
        raise AssertionError

    assert pictures.missing(iter(never, "")) == [paths[3]]


def test_other_shards_or_a_damaged_index_are_refused(tmp_path: Path, paths: list[str]) -> None:
    folder = indexed(tmp_path, {"train": paths})
    with pytest.raises(DataError, match="is an index of 4 shards, not of 3; make the index again"):
        ShardPictures(folder, {"train": paths[:3]})
    with pytest.raises(DataError, match=r"shards.json is damaged, or of other shards"):
        ShardIndex(folder, "val")
    index_file(folder, "train").write_bytes(b"ARROW1\0\0damaged")
    with pytest.raises(DataError, match=r"train.arrow is missing or damaged"):
        ShardSamples(ShardIndex(folder, "train"))[0]
    (folder / "shards.json").write_text("{")
    with pytest.raises(DataError, match="is damaged"):
        ShardIndex(folder, "train")
