"""Approximate search finds most of what exact search finds, with the same scores."""

import os
import sys
from pathlib import Path

import numpy as np
import pytest

from cosa.errors import UserError
from cosa.inference import approximate
from cosa.inference.approximate import search_approximately
from cosa.inference.search_index import SearchIndex
from tests.cosa.inference.test_search_index import HEADER, of_vectors


def unit(count: int, seed: int) -> np.ndarray:
    vectors = np.random.default_rng(seed).standard_normal((count, 16)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(approximate, "FEWEST", 3000)
    of_vectors(unit(3000, 0)).save(tmp_path / "a.index")
    return tmp_path / "a.index"


def test_most_is_found_and_scores_are_exact(file: Path) -> None:
    index, asked = SearchIndex.open(file), unit(20, 1)
    exact, found = index.search(asked, 10), search_approximately(index, file, asked, 10)
    share = np.mean(
        [len({hit.row for hit in one} & {hit.row for hit in other}) / 10 for one, other in zip(exact, found, strict=True)]
    )
    assert 0.5 < share <= 1
    for query, hits in zip(asked, found, strict=True):
        assert [hit.score for hit in hits] == pytest.approx([float(index.vectors[hit.row] @ query) for hit in hits], abs=1e-5)
        assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)


def test_lists_are_kept_until_the_index_changes(file: Path) -> None:
    search_approximately(SearchIndex.open(file), file, unit(1, 1), 3)
    (kept,) = file.parent.glob("*.faiss")
    made = kept.stat().st_mtime_ns
    search_approximately(SearchIndex.open(file), file, unit(1, 1), 3)
    assert kept.stat().st_mtime_ns == made
    of_vectors(unit(3000, 5)).save(file)
    os.utime(file, ns=(0, 0))
    other = SearchIndex.open(file)
    (hits,) = search_approximately(other, file, other.vectors[7:8], 1)
    assert (hits[0].row, hits[0].score) == (7, pytest.approx(1, abs=1e-5)), "an older file with as many rows has its own lists"
    assert list(file.parent.glob("*.faiss*")) == [kept]


def test_lists_that_are_damaged_or_of_something_else_are_made_anew(file: Path, tmp_path: Path) -> None:
    index = SearchIndex.open(file)
    kept = tmp_path / "a.index.faiss"
    expected = search_approximately(index, file, unit(3, 1), 5)
    intact = kept.read_bytes()
    flipped = bytearray(intact)
    flipped[len(flipped) // 2] ^= 1
    for content in (b"", b"no lists of faiss", intact[:-100], bytes(flipped), intact + b"more"):
        kept.write_bytes(content)
        assert search_approximately(index, file, unit(3, 1), 5) == expected
        assert kept.read_bytes() == intact


def test_few_vectors_are_searched_exactly(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    few = of_vectors(unit(20, 0))
    monkeypatch.setitem(sys.modules, "faiss", None)
    assert search_approximately(few, file, unit(2, 1), 5) == few.search(unit(2, 1), 5)
    assert not list(file.parent.glob("*.faiss*"))


def test_as_many_vectors_as_get_lists_get_no_warning_of_faiss(
    file: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    many = 30_000
    monkeypatch.undo()
    assert many <= approximate.FEWEST
    monkeypatch.setattr(approximate, "FEWEST", many)
    search_approximately(of_vectors(unit(many, 0)), file, unit(1, 1), 3)
    assert list(file.parent.glob("*.faiss"))
    assert capfd.readouterr() == ("", "")


def test_queries_are_checked_and_faiss_may_be_missing(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert search_approximately(SearchIndex.empty(HEADER), file, unit(2, 1), 3) == [[], []]
    with pytest.raises(UserError, match="queries have 3 dimensions and the index 16"):
        search_approximately(SearchIndex.open(file), file, np.ones(3, dtype=np.float32), 3)
    monkeypatch.setitem(sys.modules, "faiss", None)
    with pytest.raises(UserError, match="approximate search needs faiss; install it with"):
        search_approximately(SearchIndex.open(file), file, unit(1, 1), 3)
