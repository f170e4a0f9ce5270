"""Columns of large files are made once, for all processes, and again when something is wrong with them."""

import json
import multiprocessing
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cosa.data import column_building, column_cache
from cosa.data.annotation_columns import AnnotationSource
from cosa.data.column_cache import columns_of, naming_columns
from cosa.data.split_reading import SplitReading
from cosa.errors import DataError

ENTRIES: list[dict[str, Any]] = [{"video_id": f"v{i % 70}", "desc": [f"caption {i}"] * (1 + i % 2)} for i in range(300)]


@pytest.fixture
def source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AnnotationSource:
    monkeypatch.setattr(column_cache, "CACHED_FROM", 0)
    (tmp_path / "storage").mkdir()
    (tmp_path / "a.json").write_text(json.dumps(ENTRIES))
    return AnnotationSource(tmp_path / "a.json", "captions")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "storage" / "annotations"


def entries(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def forbid_reading(monkeypatch: pytest.MonkeyPatch) -> None:
    def read(*_: object) -> None:
        raise AssertionError("it was read again")

    monkeypatch.setattr(column_cache, "build_columns", read)


def test_a_file_is_read_once_by_its_content(
    source: AnnotationSource, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = columns_of(source, folder)
    expected = list(columns_of(source).captions())
    assert list(first.captions()) == expected and len(first) == 450
    assert [len(list(path.iterdir())) for path in folder.iterdir()] == [3]
    with monkeypatch.context() as patch:
        forbid_reading(patch)
        copy = tmp_path / "b.json"
        copy.write_bytes(source.path.read_bytes())
        for one in (source, AnnotationSource(copy, "captions"), AnnotationSource(copy, "captions", SplitReading(limit=9))):
            assert list(columns_of(one, folder).captions()) == [
                e for e in expected if e.video_id in columns_of(one, folder).media_ids()
            ]
    assert len(entries(folder)) == 1
    columns_of(AnnotationSource(source.path, "references"), folder)
    columns_of(AnnotationSource(source.path, "captions", SplitReading({"caption": "desc"})), folder)
    monkeypatch.setattr(column_cache, "code_of_reading", lambda: "newer")
    columns_of(source, folder)
    assert len(entries(folder)) == 4
    source.path.write_text(json.dumps(ENTRIES[:-1]))
    assert len(columns_of(source, folder)) == 448


def test_small_files_and_folders_that_cannot_be_are_no_matter(
    source: AnnotationSource, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = list(columns_of(source).captions())
    assert list(columns_of(source, tmp_path / "none" / "annotations").captions()) == expected
    assert not (tmp_path / "none").exists()
    folder.write_text("a file where the folder should be")
    assert list(columns_of(source, folder).captions()) == expected
    folder.unlink()
    monkeypatch.setattr(column_cache, "CACHED_FROM", 2**20)
    assert list(columns_of(source, folder).captions()) == expected
    assert not folder.exists()
    with pytest.raises(DataError, match="is missing or not a file"):
        columns_of(AnnotationSource(tmp_path / "gone.json", "captions"), folder)
    monkeypatch.setattr(column_cache, "_size", lambda _: 2**21)  # It is removed, or loses its permissions, after a look at it.
    with pytest.raises(DataError, match="is missing or not a file"):
        columns_of(AnnotationSource(tmp_path / "gone.json", "captions"), folder)


@pytest.mark.parametrize("name", ["rows.arrow", "texts.arrow", "ids.arrow"])
@pytest.mark.parametrize("content", [None, b"", b"ARROW1\0\0 and nothing"])
def test_damaged_columns_are_made_again(source: AnnotationSource, folder: Path, name: str, content: bytes | None) -> None:
    expected = list(columns_of(source, folder).captions())
    (path,) = folder.glob(f"*/{name}")
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    assert list(columns_of(source, folder).captions()) == expected
    assert path.stat().st_size > 100 and len(entries(folder)) == 1


def test_a_mistake_leaves_nothing(source: AnnotationSource, folder: Path) -> None:
    source.path.write_text(json.dumps([*ENTRIES, {"video_id": "v", "desc": ""}]))
    for _ in range(2):
        with pytest.raises(DataError, match=r'entry 301\): field "desc" is empty'):
            columns_of(source, folder)
    assert entries(folder) == []
    assert len(naming_columns(source, folder).ids) == 71


def _reads(source: AnnotationSource, folder: Path, made: Any, sums: Any) -> None:
    column_cache.CACHED_FROM = 0
    make = column_cache.build_columns

    def counted(one: AnnotationSource, where: Path | None = None) -> Any:
        made.put(os.getpid())
        return make(one, where)

    column_cache.build_columns = counted
    sums.put(int(columns_of(source, folder).media.sum()))


def test_of_several_processes_one_reads(source: AnnotationSource, folder: Path) -> None:
    context = multiprocessing.get_context("fork")
    made, sums = context.Queue(), context.Queue()
    processes = [context.Process(target=_reads, args=(source, folder, made, sums)) for _ in range(6)]
    for process in processes:
        process.start()
    found = [sums.get(timeout=60) for _ in processes]
    for process in processes:
        process.join()
    assert len(set(found)) == 1 and made.get() and made.empty()
    assert len(entries(folder)) == 1


def test_without_locks_the_same_is_made_twice(source: AnnotationSource, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stored, expected = column_cache._stored, list(columns_of(source).captions())

    def beaten(one: AnnotationSource, where: Path) -> Any:
        assert stored(one, where) is not None
        return stored(one, where)

    monkeypatch.setattr(column_cache, "_stored", beaten)
    assert list(columns_of(source, folder).captions()) == expected
    assert len(entries(folder)) == 1


def test_different_identifiers_of_equal_hashes_get_different_numbers(
    source: AnnotationSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = columns_of(source)
    monkeypatch.setattr(column_building.xxhash, "xxh3_64_intdigest", len)
    found = columns_of(source)
    assert (found.all_media == expected.all_media).all() and found.ids == expected.ids
    numbers = {text: number for number, text in enumerate(dict.fromkeys(entry["video_id"] for entry in ENTRIES))}
    assert found.all_media.tolist() == [numbers[e["video_id"]] for e in ENTRIES for _ in e["desc"]]
    assert found.all_media.dtype == np.int32
